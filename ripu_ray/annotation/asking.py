"""One trial with people as the oracle: its questions, their answers, and the purchase of what is answered.

The questions of a round are a ledger of their own, in which every pixel is void. A question that is asked is charged to
the budget and not asked again. What is answered becomes the purchase of the next round that is trained.
"""

import hashlib
import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ripu_ray.core.metrics import IGNORE_LABEL
from ripu_ray.core.regions import Regions
from ripu_ray.data.loading import open_domains
from ripu_ray.data.region_maps import RegionMaps
from ripu_ray.errors import ConfigError, printable
from ripu_ray.runs.answers import Answers, Key, UsedAnswers, count_timed, fill
from ripu_ray.runs.event_log import OnProgress, Progress
from ripu_ray.runs.ledger import Ledger
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.runs.selections import Selection
from ripu_ray.runs.stages import StageFolder
from ripu_ray.simulation.execution import Parts, workbench
from ripu_ray.simulation.pool import open_ledger, select_regions, until_stopped


@dataclass(frozen=True)
class Question:
    """One region of one image that people are asked to label.

    Attributes:
        key: image id, row and column of the centre, in label pixels.
        round: 0-based.
        number: position in the round, in the order of the pool.
        rank: 1-based position in the round by score, best first.
        score: larger is better.
        box: (left, top, right, bottom) of the region, right and bottom exclusive.
    """

    key: Key
    round: int
    number: int
    rank: int
    score: float
    box: tuple[int, int, int, int]


class AskedTrial:
    """The trial of a run with people as the oracle.

    Args:
        run: its only trial is opened.

    Raises:
        ConfigError: the run has the simulated oracle.
        RunFolderError, DataError: files of the run, or of its data, are missing or damaged.
    """

    def __init__(self, run: RunFolder) -> None:
        if run.config.oracle.kind != "human":
            raise ConfigError(f"{run.path}: oracle.kind is simulated: expected human, for questions to people")
        self.run, (self.trial,) = run, run.trials.values()
        self.folder = run.trial(self.trial.trial_id)
        self.strategy = self.trial.config.strategy
        domains = open_domains(self.trial.config.data, with_source=False)
        self.pool, self.classes = domains.pool, domains.classes
        self._regions = RegionMaps(self.strategy, self.pool)
        self.asked = open_ledger(self.folder.questions, self.trial.config, self.pool)
        self.bought = open_ledger(self.folder.path, self.trial.config, self.pool)
        self.answers = Answers(self.folder.answers)

    @property
    def warmup(self) -> StageFolder:
        """The folder of the trial's warm-up."""
        return self.run.warmup(self.run.warmup_key(self.trial.config))

    @property
    def next_round(self) -> int:
        """The round that is asked, answered or trained next; the number of rounds if all are trained."""
        return self.folder.num_committed()

    @property
    def end(self) -> str:
        """Why no round is left that can be asked or trained; empty if a round is left."""
        ending, done = self.folder.ending(), self.next_round
        if ending and ending.reason and ending.rounds == done:
            return f"stopped after round {done - 1}: {ending.reason}"
        return "all rounds are trained" if done >= self.strategy.rounds else ""

    def check_due(self, round_index: int) -> None:
        """Raise ConfigError unless a round was asked before, or is the next one to be asked."""
        if round_index >= self.asked.num_rounds and self.end:
            raise ConfigError(f"round {round_index}: {self.end}")
        check_round(round_index, self.strategy.rounds)
        if round_index > self.next_round:
            place = command("train", self.run.path)
            raise ConfigError(f"round {round_index}: round {self.next_round} is not trained yet: {place}")

    def regions(self, image_id: str) -> Regions:
        """The regions of an image of the pool."""
        return self._regions.of(image_id, self.pool.label_size(image_id))

    def questions(self, round_index: int) -> list[Question]:
        """The questions of one round, in the order of the pool. Raises RunFolderError: they are damaged."""
        table = self.asked.table(round_index).to_pydict()
        order = np.argsort(-np.array(table["score"], np.float32), kind="stable")
        ranks = np.empty(len(order), np.int64)
        ranks[order] = np.arange(1, len(order) + 1)
        rows = zip(table["image_id"], table["row"], table["col"], table["score"], ranks.tolist(), strict=True)
        return [
            Question((image_id, row, col), round_index, number, rank, score, self._box(image_id, row, col))
            for number, (image_id, row, col, score, rank) in enumerate(rows)
        ]

    @cached_property
    def keys(self) -> dict[Key, int]:
        """Every question and its round."""
        return {
            (image_id, row, col): round_index
            for image_id in self.pool.image_ids
            for round_index in range(self.asked.num_rounds)
            for row, col in self.asked.bought_in(round_index, image_id).tolist()
        }

    def token(self, round_index: int) -> str:
        """A text in the files of a round's questions: which regions of which images they are. 16 hexadecimal digits."""
        strategy, keys = self.strategy, sorted(key for key, asked_in in self.keys.items() if asked_in == round_index)
        content = json.dumps([strategy.shape, strategy.mode, strategy.window, keys])
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def _box(self, image_id: str, row: int, col: int) -> tuple[int, int, int, int]:
        rows, cols = self.regions(image_id).members(row, col)
        return int(cols.min()), int(rows.min()), int(cols.max()) + 1, int(rows.max()) + 1


def command(verb: str, path: Path, files: str = "") -> str:
    """A command of a shell about a run folder, to be copied."""
    return f"`ripu {verb} {printable(shlex.quote(str(path)))}{files}`"


def check_round(round_index: int, rounds: int) -> None:
    """Raise ConfigError unless a trial of this many rounds has the round."""
    if not 0 <= round_index < rounds:
        raise ConfigError(f"round {round_index}: the run has rounds 0 to {rounds - 1}")


def ask(asked: AskedTrial, round_index: int, report: OnProgress, parts: Parts) -> list[Question]:
    """Select and commit the questions of a round, unless they are committed.

    Args:
        asked: the trial; its warm-up must be committed.
        round_index: the next round, or one that was asked before.
        report: receives progress.
        parts: of the scorer.

    Returns:
        The questions, in the order of the pool.

    Raises:
        ConfigError: the round cannot be asked yet, or the trial does not have it.
        StoppedError: a stop was requested.
    """
    asked.check_due(round_index)
    if round_index >= asked.asked.num_rounds:
        trial, due = asked.trial, asked.next_round
        weights = (asked.folder.stage(due - 1) if due else asked.warmup).weights
        with workbench(asked.run, trial.config, trial.trial_id, report, parts) as bench:
            bench.report(Progress(trial.trial_id, "score", round_index, 0))
            bench.scorer.acquire()
            selections = select_regions(trial.config, round_index, weights, asked.asked, bench.domains, bench.scorer)
            asked.asked.commit(round_index, until_stopped(selections, bench.stop))
            bench.scorer.release()
    return asked.questions(round_index)


def buy_answered(asked: AskedTrial) -> int:
    """Commit all answered questions that are not bought as the purchase of the next round, unless it is committed.

    Returns:
        The round; if none is left, the number of rounds.

    Raises:
        ConfigError: the next round was not asked yet, or none of its questions is answered.
        RunFolderError: an answer does not fit its question.
    """
    round_index, path = asked.next_round, asked.run.path
    if asked.end or asked.bought.num_rounds > round_index:
        return round_index
    if asked.asked.num_rounds <= round_index:
        raise ConfigError(f"{path}: round {round_index} is not asked yet: {command('query', path)}")
    selections = list(_answered(asked))
    num_questions = asked.asked.table(round_index).num_rows
    if num_questions and not sum(len(selection.scores_N) for selection in selections):
        raise ConfigError(f"{path}: none of the {num_questions} questions of round {round_index} is answered")
    stage = asked.folder.stage(round_index)
    used = UsedAnswers.read(asked.folder.stage(round_index - 1).path) if round_index else UsedAnswers()
    used = replace(used, num_batches=asked.answers.num_batches, answers_sha256=asked.answers.sha256)
    for selection in selections:
        keys = [(selection.image_id, row, col) for row, col in selection.centres_N2.tolist()]
        answers = [asked.answers.by_key[key] for key in keys]
        used = count_timed(used, answers, selection.boundary_pixels_N.tolist())
    used.write(stage.path)
    asked.bought.commit(round_index, selections)
    return round_index


def _answered(asked: AskedTrial) -> Iterator[Selection]:
    """The answered questions of each image that are not bought yet, with their costs by the answers."""
    scores = {
        (image_id, row, col): score
        for round_index in range(asked.asked.num_rounds)
        for image_id, row, col, score in _rows(asked.asked, round_index)
    }
    for image_id in asked.pool.image_ids:
        bought = {*map(tuple, asked.bought.centres(image_id).tolist())}
        keys = [
            (image_id, row, col)
            for row, col in asked.asked.centres(image_id).tolist()
            if (image_id, row, col) in asked.answers.by_key and (row, col) not in bought
        ]
        regions = asked.regions(image_id)
        label_HW = np.full(asked.pool.label_size(image_id), IGNORE_LABEL, np.uint8)
        for key in keys:
            fill(label_HW, regions, key, asked.answers.by_key[key].labels_M, asked.folder.answers)
        centres = np.array([key[1:] for key in keys], np.uint16).reshape(-1, 2)
        class_pixels = regions.class_pixels(label_HW, centres, asked.classes.num_classes)
        scores_N: NDArray[np.float32] = np.array([scores[key] for key in keys], np.float32)
        yield Selection(image_id, centres, scores_N, *regions.costs(label_HW, centres), class_pixels)


def _rows(ledger: Ledger, round_index: int) -> Iterator[tuple[str, int, int, float]]:
    table = ledger.table(round_index).to_pydict()
    return zip(table["image_id"], table["row"], table["col"], table["score"], strict=True)

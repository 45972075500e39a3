"""The state of a run with people as the oracle: rounds, questions, costs, and what to do next."""

import math
from dataclasses import dataclass

from ripu_ray.annotation.asking import AskedTrial, command
from ripu_ray.errors import counted
from ripu_ray.runs.record import RoundRecord


@dataclass(frozen=True)
class RoundStatus:
    """One round.

    Attributes:
        round: 0-based; -1 is the warm-up.
        asked, answered: questions.
        clicks, seconds: spent so far; None before the round is trained.
        labelled_share: of the pixels bought so far, in [0, 1]; None before the round is trained, or without a purchase.
        miou: in [0, 1]; None if the round is not trained or there are no validation images.
    """

    round: int
    asked: int
    answered: int
    clicks: int | None = None
    seconds: float | None = None
    miou: float | None = None
    labelled_share: float | None = None

    @property
    def open(self) -> int:
        """Questions without an answer."""
        return self.asked - self.answered


@dataclass(frozen=True)
class Status:
    """Every round that was asked, after the warm-up, and one line that says what to do next."""

    rounds: tuple[RoundStatus, ...]
    next_step: str

    @property
    def summary(self) -> str:
        """The questions of all rounds in a few words."""
        asked, answered = (sum(counts) for counts in zip(*((r.asked, r.answered) for r in self.rounds), strict=True))
        return f"{asked} questions asked, {answered} answered, {asked - answered} open"


def read_status(asked: AskedTrial) -> Status:
    """The state of a trial. Raises RunFolderError: a record is damaged."""
    warmup = asked.warmup.record() if asked.warmup.is_committed() else None
    rounds = [_status(-1, 0, 0, warmup)]
    counts = [[0, 0] for _ in range(asked.asked.num_rounds)]
    for key, round_index in asked.keys.items():
        counts[round_index][0] += 1
        counts[round_index][1] += key in asked.answers.by_key
    for round_index, (num_asked, num_answered) in enumerate(counts):
        stage = asked.folder.stage(round_index)
        rounds.append(_status(round_index, num_asked, num_answered, stage.record() if stage.is_committed() else None))
    return Status(tuple(rounds), _next_step(asked, rounds[1:]))


def _status(round_index: int, asked: int, answered: int, record: RoundRecord | None) -> RoundStatus:
    if record is None:
        return RoundStatus(round_index, asked, answered)
    miou = None if math.isnan(record.miou) else record.miou
    return RoundStatus(round_index, asked, answered, record.clicks, record.annotation_s, miou, record.labelled_share)


def _next_step(asked: AskedTrial, rounds: list[RoundStatus]) -> str:
    path, due = asked.run.path, asked.next_round
    if asked.end:
        left = sum(each.open for each in rounds)
        return asked.end + (f"; {counted(left, 'question')} not answered" if left else "")
    if asked.bought.num_rounds > due:
        return f"round {due} is bought: continue its training with {command('train', path)}"
    if due >= len(rounds):
        return f"ask round {due}: {command('query', path)}"
    left = rounds[due].open
    if not rounds[due].answered and rounds[due].asked:
        return f"round {due}: answer its {counted(left, 'open question')}, then {command('answer', path, ' FILE...')}"
    more = f" (or answer its {counted(left, 'open question')} first)" if left else ""
    return f"round {due}: train on its {counted(rounds[due].answered, 'answer')} with {command('train', path)}{more}"

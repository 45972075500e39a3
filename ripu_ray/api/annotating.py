"""A run with people as the oracle: ask, take answers, train, read the status."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ripu_ray.api.arguments import Settings, as_round
from ripu_ray.api.jobs import is_job_server
from ripu_ray.api.results import Results
from ripu_ray.api.running import resolve
from ripu_ray.api.starting import SILENT, Observer, check_options, execute, hold_run, open_run, read_run
from ripu_ray.config import Config
from ripu_ray.config.reading import as_texts
from ripu_ray.errors import ConfigError, RunFolderError
from ripu_ray.storage.remote import check_readable, locate

if TYPE_CHECKING:
    from ripu_ray.annotation.answering import Outcome
    from ripu_ray.annotation.asking import AskedTrial, Question
    from ripu_ray.annotation.status import Status
    from ripu_ray.runs.run_folder import RunFolder

FORMATS = ("coco", "cvat", "labelstudio", "png")
"""Formats of annotation tools."""


@dataclass(frozen=True)
class Asked:
    """What `query` did.

    Attributes:
        questions: of the round, in the order of the pool.
        folder: with the files for the annotation tool.
        results: of the warm-up, or of the rest of an interrupted round, if one was due; with failures nothing is asked.
    """

    questions: tuple["Question", ...]
    folder: Path
    results: Results | None = None


def query(
    folder: str | Path,
    round_index: int | None = None,
    *,
    export: str = "coco",
    output: str | Path | None = None,
    config: Config | str | Path | None = None,
    settings: Settings = (),
    address: str | None = None,
    observer: Observer = SILENT,
) -> Asked:
    """Select the regions of a round and write them for an annotation tool; a repeated call asks the same.

    The warm-up, or the rest of a round that was interrupted, is trained before.

    Args:
        folder: run folder; a new one needs `config` or `settings`, with `oracle.kind` human.
        round_index: from 0; None: the next one.
        export: one of coco, cvat, labelstudio, png.
        output: folder for the files; None: one in the run folder.
        config, settings: of a new run; see `sweep`.
        address: a Ray cluster to join; replaces `cluster.address`.
        observer: receives the events of the run.

    Raises:
        ConfigError: the run has the simulated oracle, an unknown format, or the round cannot be asked yet.
        DataError, RunFolderError, ClusterError, StoppedError: see `sweep`.
    """
    if export not in FORMATS:
        raise ConfigError(f"--export {export}: expected {', '.join(FORMATS)}")
    place, round_index = locate(folder), as_round(round_index)
    resolved = _resolve(place, config, settings, address)
    _check_question(resolved, place, round_index, is_configured=config is not None or bool(settings))
    with open_run(resolved, place, observer) as (run, on_death):
        from ripu_ray.annotation.exporting import export as write

        results = None
        if not all(run.is_done(key) for key in run.warmups):
            _check_first(place, round_index)
            results = execute(run, observer, on_death)
            if results.failures:
                return Asked((), place, results)
        questions, asked = _ask(run, round_index, observer)
        if not questions:
            return Asked((), place, results)
        files = place / f"questions_{questions[0].round:02d}_{export}" if output is None else locate(output)
        write(asked, questions, export, files)
    return Asked(tuple(questions), files, results)


def _check_question(resolved: Config, place: Path, round_index: int | None, is_configured: bool) -> None:
    """Raise ConfigError for a run with the simulated oracle, and for a round that the run does not have."""
    if resolved.oracle.kind != "human":
        if is_configured and (place / "config.yaml").exists():
            raise ConfigError(f"{place}: a run with another configuration: leave out --config and --set")
        raise ConfigError(f"{place}: oracle.kind is simulated: expected human, for questions to people")
    if round_index is not None:
        from ripu_ray.annotation.asking import check_round

        check_round(round_index, resolved.strategy.rounds)
        if not (place / "config.yaml").exists():
            _check_first(place, round_index)


def _check_first(place: Path, round_index: int | None) -> None:
    """Raise ConfigError for a later round of a run whose warm-up is not trained, before it is."""
    if round_index:
        from ripu_ray.annotation.asking import command

        raise ConfigError(f"round {round_index}: round 0 is not asked yet: {command('query', place)}")


def answer(
    folder: str | Path,
    files: Sequence[str | Path],
    *,
    skip_bad: bool = False,
    accept_extra: bool = False,
    replace: bool = False,
    observer: Observer = SILENT,
) -> "Outcome":
    """Take answers from files of annotation tools, or folders of label maps (PNG): all of them, or none.

    Args:
        folder: run folder.
        files: of answers.
        skip_bad: skip images and files with a fault, and answers that differ from others, instead of refusing all.
        accept_extra: use labels outside all questions, too.
        replace: take an answer that differs from one before, unless a round has bought that one.
        observer: receives the events of the run.

    Returns:
        What was answered, and what was skipped.

    Raises:
        DataError: a fault, in one line with file, image and annotation; an answer differs from another one; or the
            labels are too large for one call.
        RunFolderError: it is not a run folder, or another process works in it.
        StorageError: the answers cannot be written.
    """
    from ripu_ray.annotation.answering import answer as take
    from ripu_ray.annotation.asking import AskedTrial

    check_options(observer)
    run = _open(folder)
    with hold_run(run.path, observer):
        paths = [locate(file) for file in as_texts("files", files)]
        return take(AskedTrial(run), paths, skip_bad, accept_extra, replace)


def train(folder: str | Path, *, address: str | None = None, observer: Observer = SILENT) -> Results:
    """Train the next round on what is answered, and evaluate it if there are validation images.

    If no round is left, the results are written again.

    Args:
        folder: run folder.
        address: a Ray cluster to join; replaces `cluster.address`.
        observer: receives the events of the run.

    Raises:
        ConfigError: the next round was not asked yet, or none of its questions is answered.
        DataError, RunFolderError, ClusterError, StoppedError: see `sweep`.
    """
    from ripu_ray.annotation.asking import AskedTrial, buy_answered

    place = locate(folder)
    with open_run(_resolve(place, None, (), address), place, observer) as (run, on_death):
        buy_answered(AskedTrial(run))
        return execute(run, observer, on_death)


def status(folder: str | Path) -> "Status":
    """The state of a run: each round with its questions, costs and mIoU, and one line that says what to do next.

    Raises:
        ConfigError: the run has the simulated oracle.
        RunFolderError: it is not a run folder, or a record is damaged.
    """
    from ripu_ray.annotation.asking import AskedTrial
    from ripu_ray.annotation.status import read_status

    return read_status(AskedTrial(_open(folder)))


def _resolve(folder: Path, config: Config | str | Path | None, settings: Settings, address: str | None) -> Config:
    """The configuration of a run folder, or of `config` and `settings` for one that is to be created."""
    if config is not None or settings or not (folder / "config.yaml").exists():
        if config is None and not settings:
            raise RunFolderError(f"{folder}: not a run folder: `ripu query` creates it, with --config or --set")
        resolved = resolve(config, settings, {"cluster.address": address})
    else:
        resolved = read_run(folder, address)
    if is_job_server(resolved.cluster.address):
        raise ConfigError(
            f"cluster.address {resolved.cluster.address}: no jobs with oracle.kind human: expected auto, HOST:PORT or "
            "ray://HOST:PORT"
        )
    return resolved


def _open(folder: str | Path) -> "RunFolder":
    from ripu_ray.runs.run_folder import RunFolder

    place = locate(folder)
    check_readable(place)
    run = RunFolder(place)
    run.run_plugins()  # its data set may be that of a plug-in
    return run


def _ask(run: "RunFolder", round_index: int | None, observer: Observer) -> "tuple[list[Question], AskedTrial]":
    from ripu_ray.annotation.asking import AskedTrial, ask
    from ripu_ray.simulation.execution import Parts, local_parts
    from ripu_ray.tracking.group import open_trackers

    asked, cluster = AskedTrial(run), run.config.cluster
    number = asked.next_round if round_index is None else round_index
    if number < asked.asked.num_rounds:
        return asked.questions(number), asked
    asked.check_due(number)
    parts: Parts = local_parts(open_trackers)
    with observer.show(run, bool(cluster.scorers)) as on_progress:
        if cluster.scorers:
            from ripu_ray.distributed.capacity import check_capacity, num_scorers
            from ripu_ray.distributed.cluster import start_ray
            from ripu_ray.distributed.parts import ray_parts

            nodes = start_ray(cluster)
            check_capacity(cluster, nodes)
            parts = ray_parts(num_scorers(cluster, nodes, 1))
        return ask(asked, number, on_progress, parts), asked

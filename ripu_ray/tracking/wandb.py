"""Weights & Biases: one run per trial and per warm-up, grouped by sweep, with the spent share as x-axis.

A failure of W&B never ends a trial: it continues with an offline run that holds everything, for `wandb sync`.
"""

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

from ripu_ray.errors import CodeError, RipuError, naming_memory
from ripu_ray.runs.record import RoundRecord
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.simulation.inspection import Examples
from ripu_ray.tracking.artifacts import log_artifacts
from ripu_ray.tracking.content import (
    AXIS,
    CONFUSION,
    TRAINING_AXIS,
    confusion,
    numbers,
    pictures,
    reference_line,
    summary,
    training_numbers,
)
from ripu_ray.tracking.identity import identify_trial, identify_warmup
from ripu_ray.tracking.mode import current, go_offline
from ripu_ray.tracking.session import TIMEOUT_S, end_session, open_run
from ripu_ray.tracking.wandb_internals import keep_for_upload, read_local_runs
from ripu_ray.training.job import Measurement


class WandbTracker:
    """See `Tracker`. A separate thread calls W&B; the trial waits for it only in `close`.

    W&B accepts increasing steps only. A measurement after n optimiser updates in round r has step n + r + 1, and the
    record of a round that ends after n updates has step n + r + 2. These steps increase, and a resumed trial has the
    same ones. It logs only entries above the last step that was logged.

    Args:
        run: the sweep; its name is the run's group.
        name: id of a trial, or key of a warm-up; it and the sweep form the run's id.
        folder: local folder for W&B's files.
    """

    def __init__(self, run: RunFolder, name: str, folder: Path) -> None:
        self._sweep, self._folder = run, folder
        self._log_artifacts = partial(log_artifacts, run=run, name=name)
        self._trial = trial = run.trials.get(name)
        self._budgets = [each.config.strategy.budget for each in run.trials.values()]
        self._identity = identify_trial(run, trial) if trial else identify_warmup(run, name)
        self._examples: Examples | None = None
        if trial and (count := run.config.tracking.images):
            warmup = run.warmup(run.warmup_key(trial.config))
            self._examples = Examples(trial, run.trial(name), warmup, count)
        self._is_online = current(run.config.tracking, run.path).mode == "online"
        self._records: list[RoundRecord] = []
        self._entries: list[tuple[int, Callable[[], Mapping[str, Any]]]] = []
        self._num_done, self._last_step = 0, -1
        self._artifacts: Collection[str] = ()
        self._defined: set[str] = set()
        self._run: Any = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="wandb")
        self._thread.submit(self._start)

    def log_training(self, round_index: int, measured: Measurement) -> None:
        """Queue a measurement for logging."""
        content = training_numbers(measured)
        self._thread.submit(self._add, measured.step + round_index + 1, lambda: content)

    def log_line(self, line: str) -> None:
        """Queue a line for the tab `Logs` of the run."""
        self._thread.submit(self._attempt, lambda: self._run.write_logs(line))

    def log_round(self, record: RoundRecord, seconds: Mapping[str, float]) -> None:
        """Queue the round for logging."""
        self._thread.submit(self._add_round, record, seconds)

    def wait(self) -> None:
        """Wait until everything queued is logged or has failed."""
        self._thread.submit(lambda: None).result()

    def close(self, failure: str | None = None) -> None:
        """Finish the run; a failed trial is marked as failed."""

        def finish() -> None:
            self._log()
            self._log_confusion()
            if failure:
                self._run.summary["failure"] = failure
            self._log_files()
            self._run.finish(exit_code=1 if failure else 0)

        self._thread.submit(self._attempt, finish).result()
        self._thread.shutdown()

    def _start(self) -> None:
        try:
            self._open()
        except Exception as error:  # noqa: BLE001 (nothing that W&B raises may end a trial)
            self._open_again(error)

    def _add_round(self, record: RoundRecord, seconds: Mapping[str, float]) -> None:
        self._records.append(record)
        records, step = tuple(self._records), record.step + record.round + 2
        self._add(step, lambda: self._content(records, seconds))
        if self._trial:
            for later, end in enumerate(reference_line(self._trial, record, self._budgets), start=step + 1):
                self._add(later, partial(dict, end))

    def _add(self, step: int, content: Callable[[], Mapping[str, Any]]) -> None:
        self._entries.append((step, content))
        self._attempt(self._log)

    def _content(self, records: tuple[RoundRecord, ...], seconds: Mapping[str, float]) -> dict[str, Any]:
        content: dict[str, Any] = {**numbers(records, seconds, self._identity.budget)}
        if self._examples:
            with suppress(RipuError, CodeError), naming_memory():
                content |= pictures(self._examples, records[-1].round)
        return content

    def _open(self) -> None:
        local = read_local_runs(self._folder)
        # A run that started offline stays offline, so that its parts are uploaded in order.
        self._is_online = self._is_online and not local.is_pending
        self._run = open_run(self._identity.arguments, self._folder, self._is_online)
        # Nothing is logged twice: an online run gets its last step from the server.
        self._last_step = self._run.step - 1 if self._is_online else max(local.steps, default=-1)
        self._num_done, self._artifacts = 0, local.artifacts
        self._defined = set()
        self._run.define_metric(AXIS)
        self._run.define_metric("*", step_metric=AXIS)

    def _log(self) -> None:
        for step, content in self._entries[self._num_done :]:
            if step > self._last_step:
                logged = content()
                if TRAINING_AXIS in logged:
                    self._define(logged)
                self._run.log(logged, step=step)
                self._last_step = step
            self._num_done += 1
        if self._records:
            self._run.summary.update(summary(self._records))

    def _define(self, logged: Mapping[str, Any]) -> None:
        """Give the keys of a measurement their own axis. One by one: a pattern would compete with `*`."""
        for key in logged.keys() - self._defined:
            self._run.define_metric(key, step_metric=None if key == TRAINING_AXIS else TRAINING_AXIS)
            self._defined.add(key)

    def _log_confusion(self) -> None:
        """Log the confusion matrix of the last round of a finished trial, unless it was logged.

        Its table is an artifact in W&B, so that one for each round would be many.
        """
        trial, run = self._trial, self._sweep
        if not trial or not run.is_finished(trial.trial_id) or any(CONFUSION in name for name in self._artifacts):
            return
        stage = run.trial(trial.trial_id).stage(run.trial(trial.trial_id).num_committed() - 1)
        counts_CC = stage.confusion()
        if counts_CC is not None and counts_CC.any():
            self._last_step += 1
            self._run.log({CONFUSION: confusion(counts_CC, list(stage.record().iou))}, step=self._last_step)

    def _log_files(self) -> None:
        """Log the artifacts. If W&B itself has failed, `finish` raises too, and all is repeated."""

        def log() -> None:
            with suppress(Exception):
                self._log_artifacts(self._run, logged=self._artifacts)

        # W&B asks its server about each artifact, for minutes if there is no answer.
        thread = Thread(target=log, name="wandb-artifacts", daemon=True)
        thread.start()
        thread.join(TIMEOUT_S["online" if self._is_online else "offline"])

    def _attempt(self, do: Callable[[], None]) -> None:
        """Call `do`. If W&B fails, repeat it in a new offline run; if that fails too, ignore it."""
        if not self._run:
            return
        try:
            do()
        except TimeoutError:
            go_offline(self._sweep.path, "the upload did not end in time")
            keep_for_upload(Path(self._run.dir).parent)
        except Exception as error:  # noqa: BLE001 (nothing that W&B raises may end a trial)
            self._open_again(error)
            with suppress(Exception):
                do()

    def _open_again(self, error: Exception) -> None:
        end_session(self._sweep.path, error)
        self._run, self._is_online = None, False
        with suppress(Exception):
            self._open()

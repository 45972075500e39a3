"""Weights & Biases: one run per trial, grouped by sweep, with the spent share as x-axis.

A failure of W&B never ends a trial: it continues with an offline run that holds every round, for `wandb sync`.
"""

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

from ripu_ray.config import to_tree
from ripu_ray.errors import RipuError
from ripu_ray.runs.record import RoundRecord
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.simulation.inspection import Examples
from ripu_ray.tracking.artifacts import log_artifacts
from ripu_ray.tracking.content import AXIS, describe, numbers, pictures, reference_line, summary, tags
from ripu_ray.tracking.mode import current, go_offline
from ripu_ray.tracking.session import TIMEOUT_S, end_session, identify, open_run
from ripu_ray.tracking.wandb_internals import keep_for_upload, read_local_runs


class WandbTracker:
    """See `Tracker`. A separate thread calls W&B; the trial waits for it only in `close`.

    Args:
        run: the sweep; its name is the run's group.
        trial_id: the run's name; sweep and trial form its id.
        folder: local folder for W&B's files.
    """

    def __init__(self, run: RunFolder, trial_id: str, folder: Path) -> None:
        self._sweep, self._folder = run.path, folder
        self._log_artifacts = partial(log_artifacts, run=run, trial_id=trial_id)
        self._trial = trial = run.trials[trial_id]
        strategy = trial.config.strategy
        self._budgets = [each.config.strategy.budget for each in run.trials.values()]
        self._budget = "any" if strategy.is_reference else str(strategy.budget)
        # Panels are grouped by these names: seeds repeat a strategy, and each budget has its own panel.
        names = {"arm": trial.arm, "strategy": trial.arm.replace(f"-b{self._budget}", "", 1), "budget": self._budget}
        digests = {"data_digest": digest} if (digest := run.seal.digest(trial.config)) else {}
        config = {**to_tree(trial.config), "trial": names, **digests}
        self._identity = identify(run, trial_id, "trial", config, tags(trial), describe(trial))
        self._examples: Examples | None = None
        if count := run.config.tracking.images:
            warmup = run.warmup(run.warmup_key(trial.config))
            self._examples = Examples(trial, run.trial(trial_id), warmup, count)
        self._is_online = current(run.config.tracking, run.path).mode == "online"
        self._rounds: list[tuple[RoundRecord, Mapping[str, float]]] = []
        self._logged: set[int] = set()
        self._artifacts: Collection[str] = ()
        self._run: Any = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="wandb")
        self._thread.submit(self._start)

    def log_round(self, record: RoundRecord, seconds: Mapping[str, float]) -> None:
        """Queue the round for logging."""
        self._thread.submit(self._log_round, record, seconds)

    def wait(self) -> None:
        """Wait until every queued round is logged or has failed."""
        self._thread.submit(lambda: None).result()

    def close(self, failure: str | None = None) -> None:
        """Finish the run; a failed trial is marked as failed."""

        def finish() -> None:
            self._log()
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

    def _log_round(self, record: RoundRecord, seconds: Mapping[str, float]) -> None:
        self._rounds.append((record, seconds))
        self._attempt(self._log)

    def _open(self) -> None:
        local = read_local_runs(self._folder)
        # A run that started offline stays offline, so that its parts are uploaded in order.
        self._is_online = self._is_online and not local.is_pending
        self._run = open_run(self._identity, self._folder, self._is_online)
        # No round is logged twice: an online run knows its last step from the server.
        self._logged = set(range(self._run.step)) if self._is_online else set(local.steps)
        self._artifacts = local.artifacts
        self._run.define_metric(AXIS)
        self._run.define_metric("*", step_metric=AXIS)

    def _log(self) -> None:
        records = [record for record, _ in self._rounds]
        for count, (record, seconds) in enumerate(self._rounds, start=1):
            if record.round + 1 not in self._logged:
                logged: dict[str, Any] = {**numbers(records[:count], seconds, self._budget)}
                if self._examples:
                    with suppress(RipuError):
                        logged |= pictures(self._examples, record.round)
                self._log_step(record.round + 1, logged)
            for step, end in enumerate(reference_line(self._trial, record, self._budgets), start=record.round + 2):
                if step not in self._logged:
                    self._log_step(step, end)
        if records:
            self._run.summary.update(summary(records))

    def _log_files(self) -> None:
        """Log the artifacts. If W&B itself has failed, `finish` raises too, and all is repeated."""

        def log() -> None:
            with suppress(Exception):
                self._log_artifacts(self._run, logged=self._artifacts)

        # W&B asks its server about each artifact, for minutes if there is no answer.
        thread = Thread(target=log, name="wandb-artifacts", daemon=True)
        thread.start()
        thread.join(TIMEOUT_S["online" if self._is_online else "offline"])

    def _log_step(self, step: int, logged: Mapping[str, Any]) -> None:
        self._run.log(logged, step=step)
        self._logged.add(step)

    def _attempt(self, do: Callable[[], None]) -> None:
        """Call `do`. If W&B fails, repeat it in a new offline run; if that fails too, ignore it."""
        if not self._run:
            return
        try:
            do()
        except TimeoutError:
            go_offline(self._sweep, "the upload did not end in time")
            keep_for_upload(Path(self._run.dir).parent)
        except Exception as error:  # noqa: BLE001 (nothing that W&B raises may end a trial)
            self._open_again(error)
            with suppress(Exception):
                do()

    def _open_again(self, error: Exception) -> None:
        end_session(self._sweep, error)
        self._run, self._is_online = None, False
        with suppress(Exception):
            self._open()

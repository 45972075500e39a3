"""Weights & Biases: one run per trial, grouped by sweep, drawn over the spent share.

Whatever ails W&B, a trial goes on: its run becomes an offline one with every round, for `wandb sync`.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from ripu_ray.config import to_tree
from ripu_ray.errors import RipuError
from ripu_ray.runs.grid import warmup_key
from ripu_ray.runs.record import RoundRecord
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.simulation.inspection import Examples
from ripu_ray.tracking.content import AXIS, numbers, pictures
from ripu_ray.tracking.local_runs import keep_for_upload, take_stock
from ripu_ray.tracking.mode import current, go_offline
from ripu_ray.tracking.session import end_session, identify, open_run


class WandbTracker:
    """See `Tracker`. A trial waits for W&B at its end alone: until then, a thread of its own speaks with it.

    Args:
        run: the sweep; its name is the run's group.
        trial_id: the run's name; with the sweep, its id.
        folder: where W&B keeps its files, on this machine.
    """

    def __init__(self, run: RunFolder, trial_id: str, folder: Path) -> None:
        self._sweep, self._folder = run.path, folder
        trial = run.trials[trial_id]
        self._budget = str(trial.config.strategy.budget)
        # What panels are grouped by: seeds are repetitions of a strategy, budgets have panels of their own.
        names = {"arm": trial.arm, "strategy": trial.arm.replace(f"-b{self._budget}", "", 1), "budget": self._budget}
        self._identity = identify(run, trial_id, "trial", {**to_tree(trial.config), "trial": names})
        self._examples: Examples | None = None
        if count := run.config.tracking.images:
            warmup = run.warmup(warmup_key(trial.config))
            self._examples = Examples(trial, run.trial(trial_id), warmup, count)
        self._is_online = current(run.config.tracking, run.path).mode == "online"
        self._rounds: list[tuple[RoundRecord, Mapping[str, float]]] = []
        self._logged: set[int] = set()
        self._run: Any = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="wandb")
        self._thread.submit(self._start)

    def log_round(self, record: RoundRecord, seconds: Mapping[str, float]) -> None:
        """Log one point of every curve, soon."""
        self._thread.submit(self._log_round, record, seconds)

    def wait(self) -> None:
        """Until all that was handed over is with W&B, or never will be."""
        self._thread.submit(lambda: None).result()

    def close(self, failure: str | None = None) -> None:
        """Finish the run; a failed trial is marked as failed."""

        def finish() -> None:
            self._log()
            if failure:
                self._run.summary["failure"] = failure
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
        stock = take_stock(self._folder)
        # What was begun offline goes on offline, so that its parts are uploaded in order.
        self._is_online = self._is_online and not stock.is_pending
        self._run = open_run(self._identity, self._folder, self._is_online)
        # No round is logged twice: the server knows what it has.
        self._logged = set(range(self._run.step)) if self._is_online else set(stock.steps)
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
                self._run.log(logged, step=record.round + 1)
                self._logged.add(record.round + 1)

    def _attempt(self, do: Callable[[], None]) -> None:
        """Do it. Where W&B fails, do it in a new offline run; where that fails, too, the trial goes on without W&B."""
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
        end_session()
        first = (str(error).strip().splitlines() or [""])[0]
        go_offline(self._sweep, f"{type(error).__name__}: {first}")
        self._run, self._is_online = None, False
        with suppress(Exception):
            self._open()

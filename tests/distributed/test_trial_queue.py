"""The order in which a sweep starts its warm-ups and trials, without Ray."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from ray.tune.experiment import Trial

from ripu_ray.config import load_config
from ripu_ray.distributed.trial_queue import FreeProcessFirst, TrialQueue
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.simulation.execution import execute_warmup, local_parts
from ripu_ray.simulation.protocols import NoTracker
from tests.conftest import TINY
from tests.running import ignore

PARTS = local_parts(lambda run, name: NoTracker())


def _run(path: Path, *more: str) -> RunFolder:
    flags = {"sweep.seeds": ["0", "1"], "sweep.acquisitions": ["ripu", "random"]}
    return RunFolder.create(path / "run", load_config(None, (*TINY, "cluster.scorers=1", *more), flags))


def test_a_trial_starts_after_its_own_warmup_and_not_if_that_failed(tmp_path: Path) -> None:
    run = _run(tmp_path)
    first, second = run.warmups
    queue = TrialQueue(run, [{"CPU": 2.0}])
    assert [queue.suggest(id)["name"] for id in "ab"] == [first, second]
    assert queue.suggest("c") is None
    execute_warmup(run, second, ignore, PARTS)
    queue.on_trial_complete("b")
    started = [queue.suggest(id)["name"] for id in "cd"]
    assert started == [name for name, trial in run.trials.items() if run.warmup_key(trial.config) == second]
    assert queue.suggest("e") is None
    queue.on_trial_complete("c")
    queue.on_trial_complete("a", error=True)
    assert queue.suggest("e") == queue.FINISHED
    assert queue.names == [first, second, *started]
    # Resumed: the first warm-up is tried again, and the trials of the second start at once.
    again = TrialQueue(run, [{"CPU": 2.0}])
    assert [again.suggest(id)["name"] for id in "abc"] == [first, *started]


def test_all_trials_wait_where_warmups_have_more_scorers(tmp_path: Path) -> None:
    run = _run(tmp_path, "cluster.scorers=auto")
    queue = TrialQueue(run, [{"CPU": 8.0}])
    assert [queue.suggest(id)["share"] for id in "ab"] == [4, 4]
    for id, key in zip("ab", run.warmups, strict=True):
        assert queue.suggest("c") is None
        execute_warmup(run, key, ignore, PARTS)
        queue.on_trial_complete(id)
    assert queue.suggest("c")["share"] == 2


@pytest.mark.parametrize("when", ["before", "between"])
def test_nothing_starts_after_a_stop_is_requested(when: str, tmp_path: Path) -> None:
    run = _run(tmp_path)
    queue = TrialQueue(run, [{"CPU": 2.0}])
    if when == "between":
        queue.suggest("a")
    run.stop.make()
    assert queue.suggest("b") == queue.FINISHED


def test_a_free_process_takes_a_trial_for_which_none_is_starting() -> None:
    trials = [Trial("trainable", stub=True) for _ in range(3)]
    scheduler, controller = FreeProcessFirst(), SimpleNamespace(get_trials=lambda: trials)
    chosen = [scheduler.choose_trial_to_run(controller) for _ in range(4)]
    assert chosen == [*trials, None]  # Tune starts a process for each; the next free one is for none of them
    trials[1].status = Trial.RUNNING
    assert scheduler.choose_trial_to_run(controller) is None
    trials[1].status = Trial.PENDING  # its process died
    assert scheduler.choose_trial_to_run(controller) is trials[1]
    trials.append(Trial("trainable", stub=True))
    assert scheduler.choose_trial_to_run(controller) is trials[3]

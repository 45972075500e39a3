"""A sweep on a real Ray: the same run folder however it is spread, and failures that stay apart."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ripu_ray.config import Config, load_config
from ripu_ray.distributed.sweeping import run_sweep
from ripu_ray.runs.event_log import Progress
from ripu_ray.runs.run_folder import RunFolder
from tests.conftest import TINY
from tests.running import committed, ignore, run_all, run_alone

pytestmark = pytest.mark.usefixtures("ray_cpus")


def _config(*more: str) -> Config:
    flags = {"sweep.budgets": ["5", "9px"], "sweep.acquisitions": ["ripu", "random"]}
    return load_config(None, (*TINY, *more), flags)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What the same grid leaves behind without Ray."""
    return committed(run_all(tmp_path_factory.mktemp("plain") / "run", _config("cluster.scorers=0")))


@pytest.mark.slow
def test_scorers_and_concurrency_change_no_byte(plain: dict[str, bytes], tmp_path: Path) -> None:
    config = _config("cluster.scorers=2", "cluster.concurrent_trials=2")
    run = RunFolder.create(tmp_path / "run", config)
    reports: list[Progress] = []
    assert run_sweep(run, reports.append) == {}
    assert committed(run) == plain
    # Four trials, one warm-up, and each of them reports.
    assert (len(run.trials), len(run.warmups)) == (4, 1)
    assert {report.trial_id for report in reports} == {"", *run.trials, *run.warmups}
    assert {report.trial_id for report in reports if report.phase == "done"} == {*run.trials, *run.warmups}


@pytest.mark.slow
def test_an_exception_of_the_observer_ends_the_sweep_as_it_is(tmp_path: Path) -> None:
    def observe(progress: Progress) -> None:
        if progress.phase == "train":
            raise ZeroDivisionError("ours")

    run = RunFolder.create(tmp_path / "run", load_config(None, (*TINY, "cluster.scorers=0")))
    with pytest.raises(ZeroDivisionError, match=r"^ours$"):
        run_sweep(run, observe)
    assert run_sweep(run, ignore) == {}


@pytest.mark.slow
def test_train_workers_in_a_sweep(tmp_path: Path) -> None:
    settings = (*TINY, "strategy.rounds=1", "cluster.train_workers=2", "cluster.scorers=1")
    run = RunFolder.create(tmp_path / "run", load_config(None, settings))
    assert run_sweep(run, ignore) == {}
    alone = run_all(tmp_path / "alone", load_config(None, (*settings, "cluster.train_workers=0", "cluster.scorers=0")))
    # Weights, and with them scores, differ in the last bits from those of one process; the first purchase does not.
    first = "trials/region-w3-ripu-b5-s0/round_00/purchase.parquet"
    ours, expected = (
        pq.read_table(pa.BufferReader(committed(one, ("purchase.parquet",))[first])) for one in (run, alone)
    )
    assert len(ours) > 0
    for column in ("image_id", "row", "col"):
        assert ours[column].to_pylist() == expected[column].to_pylist()


@pytest.mark.slow
def test_a_trial_that_fails_leaves_the_others_alone(tmp_path: Path) -> None:
    run = run_all(tmp_path / "run", _config("cluster.scorers=0"))
    broken, *others = run.trials
    for trial_id in run.trials:
        (run.trial(trial_id).stage(1).path / "record.json").unlink()
    (run.trial(broken).stage(0).path / "purchase.parquet").write_bytes(b"torn")
    failures = run_sweep(RunFolder(run.path), ignore)
    assert failures.keys() == {broken}
    assert "round_00/purchase.parquet: altered or torn" in failures[broken]
    assert all(run.trial(trial_id).num_committed() == 2 for trial_id in others)


@pytest.mark.slow
def test_a_warmup_that_fails_is_named_and_no_trial_starts(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", _config("training.learning_rate=1e30", "cluster.scorers=0"))
    for execute in (run_sweep, run_alone):
        failures = execute(run, ignore)
        assert failures.keys() == set(run.warmups)
        assert "warm-up, step 1" in next(iter(failures.values()))
        assert not (run.path / "trials").exists()

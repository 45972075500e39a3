"""The loop: what a trial leaves behind, and that an interrupted one ends the same."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ripu_ray.config import Config, load_config
from ripu_ray.core.budget import annotate
from ripu_ray.core.geometry import cover
from ripu_ray.data.loading import open_domains
from ripu_ray.distributed.execution import execute_trial
from ripu_ray.errors import NonFiniteError, RunFolderError
from ripu_ray.simulation.ledger import Ledger
from ripu_ray.simulation.protocols import Progress
from ripu_ray.simulation.run_folder import RunFolder
from tests.conftest import TINY
from tests.runs import committed, ignore, run_all


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunFolder]:
    """One finished run, not to be changed."""
    config = load_config(None, (*TINY, "cluster.scorers=0", "strategy.rounds=3"))
    yield run_all(tmp_path_factory.mktemp("runs") / "finished", config)


def _only_trial(run: RunFolder) -> str:
    (trial_id,) = run.trials
    return trial_id


def test_records_count_rounds_and_steps_as_documented(finished: RunFolder) -> None:
    records = execute_trial(finished, _only_trial(finished), ignore)
    assert [record.round for record in records] == [-1, 0, 1, 2]
    assert [record.step for record in records] == [3, 5, 7, 9]
    assert records[0].spent_pixels == 0
    assert all(0 <= record.miou <= 1 and 0 <= record.accuracy <= 1 for record in records)
    assert records[1].losses.keys() > records[0].losses.keys()


def test_the_budget_is_kept_in_every_image_and_round(finished: RunFolder) -> None:
    trial = finished.trials[_only_trial(finished)]
    domains = open_domains(trial.config.data)
    folder = finished.trial(trial.trial_id).path
    ledger = Ledger(folder, domains.pool.image_ids, 9)
    records = [finished.trial(trial.trial_id).stage(index).read() for index in range(3)]
    assert records[-1].spent_pixels == ledger.spent.pixels
    total = 0
    assert [record.clicks for record in records] == sorted(record.clicks for record in records)
    for image_id in domains.pool.image_ids:
        height, width = domains.pool.label_size(image_id)
        allowed = trial.config.strategy.budget.pixels(height * width)
        bought = cover((height, width), ledger.centres(image_id), 1)
        # Nothing is overspent, and no further window would have fitted.
        assert bought.sum() <= allowed < bought.sum() + 9
        total += int(bought.sum())
        label = domains.pool.label(image_id)
        annotation = annotate(label, ledger.centres(image_id), 1)
        assert np.array_equal(annotation, np.where(bought, label, 255))
    # Windows never overlap, so the unions are the sum.
    assert total == records[-1].spent_pixels


def test_a_finished_run_is_left_alone(finished: RunFolder) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.path.rglob("*") if path.is_file()}
    reports: list[Progress] = []
    execute_trial(finished, _only_trial(finished), reports.append)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert [report.phase for report in reports] == ["done"]


@pytest.mark.parametrize(
    "lost",
    [
        ["round_02"],
        ["round_01", "round_02"],
        ["round_02/record.json"],
        ["round_02/record.json", "round_02/weights.pt"],
        ["round_02/record.json", "round_02/weights.pt", "round_02/purchase.json"],
    ],
    ids=lambda lost: "+".join(lost).replace("/", "_"),
)
def test_what_was_not_committed_is_done_again_to_the_same_bytes(
    finished: RunFolder, tmp_path: Path, lost: list[str]
) -> None:
    shutil.copytree(finished.path, tmp_path / "again")
    again = RunFolder(tmp_path / "again")
    for name in lost:
        path = again.trial(_only_trial(again)).path / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    execute_trial(again, _only_trial(again), ignore)
    assert committed(again) == committed(finished)


def test_altered_weights_are_not_built_upon(finished: RunFolder, tmp_path: Path) -> None:
    shutil.copytree(finished.path, tmp_path / "again")
    again = RunFolder(tmp_path / "again")
    trial = again.trial(_only_trial(again))
    shutil.rmtree(trial.path / "round_02")
    weights = trial.stage(1).weights
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    with pytest.raises(RunFolderError, match=r"round_01/weights\.pt: missing, torn or altered"):
        execute_trial(again, trial.path.name, ignore)


def test_another_configuration_is_refused_a_folder_in_use(finished: RunFolder, tiny: Config) -> None:
    with pytest.raises(RunFolderError, match="holds another sweep"):
        RunFolder.create(finished.path, tiny)


def test_a_folder_of_something_else_is_refused(tmp_path: Path, tiny: Config) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(RunFolderError, match="not empty and not a run folder"):
        RunFolder.create(tmp_path, tiny)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("mode", ["region", "pixel"])
@pytest.mark.parametrize("acquisition", ["ripu", "entropy", "random"])
@pytest.mark.parametrize("parity", ["true", "false"])
def test_every_strategy_runs(tmp_path: Path, mode: str, acquisition: str, parity: str) -> None:
    settings = (
        *TINY,
        "cluster.scorers=0",
        "strategy.rounds=1",
        "training.warmup_steps=0",
        "training.round_steps=1",
        f"strategy.mode={mode}",
        f"strategy.acquisition={acquisition}",
        f"strategy.parity={parity}",
    )
    run = run_all(tmp_path / "run", load_config(None, settings))
    assert run.trial(_only_trial(run)).stage(0).read().spent_pixels > 0


def test_the_seed_of_random_is_the_trial_s(tmp_path: Path) -> None:
    settings = (*TINY, "cluster.scorers=0", "strategy.acquisition=random", "strategy.rounds=1")
    runs = [run_all(tmp_path / name, load_config(None, (*settings, f"seed={name}"))) for name in ("0", "1")]
    first, second = (next(run.path.rglob("purchase.parquet")).read_bytes() for run in runs)
    assert first != second


def test_weights_that_blow_up_stop_the_trial_and_say_where(tmp_path: Path) -> None:
    settings = (*TINY, "cluster.scorers=0", "training.learning_rate=1e30")
    with pytest.raises(NonFiniteError, match=r"warm-up, step \d+: .* is (nan|inf); images source/"):
        run_all(tmp_path / "run", load_config(None, settings))

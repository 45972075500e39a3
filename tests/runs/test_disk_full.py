"""A full disk: one line at each kind of write, partial files are not read, and the run resumes when there is space."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ripu_ray.config import Config, load_config
from ripu_ray.errors import StorageError
from ripu_ray.reporting.figures import write_curves
from ripu_ray.reporting.results import collect, write_tables
from ripu_ray.runs.lock import lock_run
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.storage import files
from ripu_ray.storage.files import is_leftover
from tests.conftest import TINY
from tests.running import committed, execute_trial, execute_warmup, ignore, run_all

SIZE = 8 * 2**20
KINDS = (
    *("environment.json", "config.yaml", "partial.pt", "weights.pt", "seconds.json", "confusion.json", "record.json"),
    *("purchase.parquet", "purchase.json", "metrics.jsonl", "results.csv", "results.parquet", "curves.png"),
)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system is not allowed here")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def _fill(ballast: Path) -> None:
    with pytest.raises(OSError, match="No space left"), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def _sweep(folder: Path, config: Config) -> RunFolder:
    """All that a sweep writes, in this process."""
    run = RunFolder.create(folder, config)
    run.tidy()
    for key in run.warmups:
        execute_warmup(run, key, ignore)
    for trial_id in run.trials:
        execute_trial(run, trial_id, ignore)
    results = collect(run)
    write_tables(run, results)
    write_curves(run, results)
    return run


def test_a_folder_on_a_full_disk_cannot_be_locked(small_disk: Path) -> None:
    _fill(small_disk / "ballast")
    with (
        pytest.raises(StorageError, match=r"lock.json: cannot be written \(No space left"),
        lock_run(small_disk, print),
    ):
        pass
    assert [path.name for path in small_disk.iterdir()] == ["ballast"]


@pytest.mark.slow
def test_a_disk_that_is_full_at_each_kind_of_write_costs_one_line_and_nothing_else(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = ("cluster.scorers=0", "training.warmup_steps=2", "training.checkpoint_every=1")
    config = load_config(None, (*TINY, *quick))
    unbroken = run_all(tmp_path / "run", config)
    ballast, folder = small_disk / "ballast", small_disk / "run"
    to_come = list(KINDS)
    beside = files.path_beside

    def full_once_for_each_kind(path: Path) -> Path:
        if path.name in to_come:
            to_come.remove(path.name)
            _fill(ballast)
        return beside(path)

    monkeypatch.setattr(files, "path_beside", full_once_for_each_kind)
    failed = []
    while True:
        try:
            run = _sweep(folder, config)
        except StorageError as error:
            name, sign, reason = str(error).partition(": cannot be written")
            assert sign, error
            assert "No space left" in reason
            assert "\n" not in reason
            assert Path(name).is_relative_to(folder)
            failed.append(Path(name).name)
            # What was aside is gone.
            assert not [left for left in folder.rglob("*") if is_leftover(left)]
            ballast.unlink()
        else:
            break
    assert sorted(failed) == sorted(KINDS)
    assert committed(run) == committed(unbroken)
    assert len(run.trials) == 1
    assert all((run.path / name).stat().st_size for name in ("results.csv", "results.parquet", "curves.png"))

"""A run folder behind a URL: the same bytes as on a disk, also of a run that was killed and went on elsewhere."""

import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from ripu_cli import command

import ripu_ray as ripu
from ripu_ray.config import load_config
from ripu_ray.errors import RunFolderError
from ripu_ray.runs.run_folder import RunFolder
from tests.conftest import TINY
from tests.running import committed, run_all
from tests.stores import new_bucket, s3_server

SETTINGS = (*TINY, "cluster.scorers=0")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What the run leaves behind on a disk."""
    return committed(run_all(tmp_path_factory.mktemp("plain") / "run", load_config(None, SETTINGS)))


@pytest.mark.slow
@pytest.mark.parametrize("after", ["purchase.json", "weights.pt"])
def test_a_run_that_is_killed_goes_on_from_the_url_alone(
    after: str, bucket: Path, plain: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = bucket / "runs" / "run"
    settings = [f"--set={setting}" for setting in SETTINGS]
    run = [sys.executable, "-m", "ripu_cli", "run", *settings]
    with subprocess.Popen([*run, "--output", str(folder.parent), "--name", folder.name]) as killed:
        while not list(folder.glob(f"trials/*/round_00/{after}")):
            with suppress(subprocess.TimeoutExpired):
                pytest.fail(f"it ended early, with {killed.wait(0.2)}")
        killed.send_signal(signal.SIGKILL)
    # There is no wait: a process of the same host knows that the owner is dead.
    (folder / "lock.json").unlink()
    command.conclude(ripu.start(ripu.read_run(folder), folder, command.observer()))
    assert committed(RunFolder(folder)) == plain
    names = {path.name for path in folder.iterdir()}
    assert names >= {"config.yaml", "environment.json", "results.csv", "results.parquet", "curves.png", "trials"}
    assert "lock.json" not in names
    assert f"{folder}/results.csv" in capsys.readouterr().out


@pytest.mark.slow
def test_a_sweep_on_ray_leaves_the_same_there(bucket: Path, plain: dict[str, bytes]) -> None:
    settings = [f"--set={setting}" for setting in (*TINY, "cluster.scorers=2")]
    command = [sys.executable, "-m", "ripu_cli", "sweep", *settings, "--output", str(bucket), "--name", "run"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert committed(RunFolder(bucket / "run")) == plain


def test_a_key_that_the_store_does_not_know_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    # The server takes any key for its first request, which makes the bucket.
    monkeypatch.setenv("INITIAL_NO_AUTH_ACTION_COUNT", "1")
    with s3_server() as endpoint:
        folder = new_bucket(endpoint)
        command = [sys.executable, "-m", "ripu_cli", "run", "--output", str(folder), "--name", "run"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert done.stderr.startswith(f"ripu: {folder}/run")
    assert "testing" not in done.stderr


def test_a_run_there_leaves_the_same_and_what_was_altered_is_named(bucket: Path, plain: dict[str, bytes]) -> None:
    config = load_config(None, SETTINGS)
    run = run_all(bucket / "run", config)
    assert committed(run) == plain
    (trial_id,) = run.trials
    path = run.trial(trial_id).path / "round_00" / "purchase.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    (run.trial(trial_id).path / "round_01" / "record.json").unlink()
    with pytest.raises(RunFolderError, match=rf"^{path}: altered or torn since it was committed"):
        run_all(bucket / "run", config)

"""Names of runs and folders: what is not ours is refused, untouched, and leaves nothing behind."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from ripu_cli.guard import one_line_errors
from ripu_cli.main import app
from typer.testing import CliRunner

from ripu_ray.config import load_config
from ripu_ray.runs.run_folder import RunFolder
from tests.conftest import TINY

COMMAND = ["run", *(f"--set={setting}" for setting in (*TINY, "cluster.scorers=0"))]
NAMES = ["..", ".", "", "a/b", "/tmp/x", "../x", "-x", "~", " x", "x ", "a\\b", "a\nb", "a\x1b[31m", "x" * 61, "x."]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    # What the parent of the output folder holds looks like ours.
    (folder / "stop").write_text("mine")
    return folder


def _state(folder: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


def _refused(arguments: list[str], says: str, folder: Path) -> None:
    for more in ([], ["--dry-run"]):
        before = _state(folder.parent)
        done = CliRunner().invoke(app, [*COMMAND, *arguments, *more])
        assert (done.exit_code, done.stdout) == (2, ""), done.output
        assert says in done.stderr
        assert done.stderr.count("\n") == 1
        assert _state(folder.parent) == before


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_is_none_is_refused_before_anything(name: str, here: Path) -> None:
    _refused([f"--name={name}"], f"name {name!r}: expected a name of at most 60 printable characters", here)
    # Nor does the name reach a cluster.
    _refused([f"--name={name}", "--address=http://127.0.0.1:9"], "expected a name", here)


def _write(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(text)


def _foreign_configuration(folder: Path) -> None:
    (folder / "config.yaml").write_text("seed: 1\n")
    (folder / "stop").touch()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_write("stop", "bus stop"), "not empty and not a run folder"),
        (_write("stop", ""), "not empty and not a run folder"),
        (_write("lock.json", "{}"), "not empty and not a run folder"),
        (_write("environment.json", '{"conda": 1}'), "not empty and not a run folder"),
        (_write("thesis.tex", "x"), "not empty and not a run folder"),
        (_write(".thesis.tex.part", "x"), "not empty and not a run folder"),
        (lambda folder: (folder / "stop").mkdir(), "not empty and not a run folder"),
        (_foreign_configuration, "config.yaml: torn or altered since it was written"),
        (lambda folder: (folder.rmdir(), folder.write_text("a file")), "cannot be a run folder (Not a directory)"),
        (lambda folder: (folder.rmdir(), folder.symlink_to("nowhere")), "cannot be a run folder (No such file"),
    ],
)
def test_a_folder_that_is_not_ours_is_refused_untouched(spoil: Callable[[Path], object], says: str, here: Path) -> None:
    (here / "runs/x").mkdir(parents=True)
    spoil(here / "runs/x")
    _refused(["--name=x"], says, here)


def test_an_output_that_cannot_be_written_is_refused(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "file").touch()
    _refused(["--output=file", "--name=x"], "cannot be created: ", here)
    _refused([f"--output={'x' * 256}", "--name=x"], "not a path that a file can have", here)
    for output in ("file/deep", "/proc/x", "/dev/null", "https://x/y"):  # of /proc, rights alone say nothing
        _refused([f"--output={output}", "--name=x"], "/x: cannot be ", here)
    # Root may write everywhere.
    monkeypatch.setattr(os, "access", lambda *_: False)
    _refused(["--output=new/deep", "--name=x"], f"cannot be created: {here} cannot be written", here)


def test_an_empty_folder_to_resume_is_refused(here: Path) -> None:
    _refused(["--resume="], "--resume '': expected a run folder", here)


def test_a_working_directory_that_was_removed_is_one_line(here: Path) -> None:
    (here / "stop").unlink()
    here.rmdir()
    for arguments in (["run"], ["report", "/nowhere"], ["evaluate", "--checkpoint=x.pt"]):
        done = CliRunner().invoke(app, arguments)
        assert (done.exit_code, done.stdout) == (2, "")
        assert done.stderr == "ripu: the working directory was removed: change to one that exists\n"


def test_what_the_system_refuses_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def refused() -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "/root/runs")

    with pytest.raises(typer.Exit) as ended:
        one_line_errors(refused)()
    assert (ended.value.exit_code, capsys.readouterr().err) == (2, "ripu: /root/runs: Permission denied\n")


def test_resume_knows_the_name_of_the_parent_folder(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunFolder.create(here / "mine", load_config(None, TINY))
    (run.path / "deep").mkdir()
    monkeypatch.chdir(run.path / "deep")
    assert RunFolder(Path("..")).name == "mine"

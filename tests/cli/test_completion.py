"""Completion by the shell, and `~` and `$VARIABLE` in flags that are paths."""

from pathlib import Path

import pytest
from ripu_cli.main import app
from typer.testing import CliRunner


@pytest.mark.parametrize(
    ("words", "found", "not_found"),
    [
        ("ripu sw", ["sweep"], ["run"]),
        ("ripu sweep --acq", ["--acquisitions"], ["--seeds"]),
        ("ripu sweep --acquisitions ", ["ripu", "random", "full"], []),
        ("ripu sweep --acquisitions ripu,en", ["ripu,entropy"], ["ripu,ripu"]),
        ("ripu run --acquisition ran", ["random"], ["ripu"]),
        ("ripu run --set training.rou", ["training.round_steps="], ["training.power="]),
        ("ripu run --set data.ro", ["data.root="], []),
        ("ripu run --set oracle.noise.f", ["oracle.noise.flips="], []),
        ("ripu sweep --vary strategy.po", ["strategy.power="], []),
        ("ripu data check --set data.sp", [], ["sweep"]),
        ("ripu sweep --mode reg", ["region"], ["pixel"]),
        ("ripu run --wandb off", ["offline"], ["online"]),
    ],
)
def test_commands_options_keys_and_names_are_completed(words: str, found: list[str], not_found: list[str]) -> None:
    variables = {
        "_RIPU_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    done = CliRunner(env=variables).invoke(app, [], prog_name="ripu")
    lines = done.stdout.split()
    assert set(found) <= set(lines), done.output
    assert not set(not_found) & set(lines)


@pytest.mark.parametrize(
    "arguments",
    [
        ["sweep", "--dry-run", "--config=PLACE"],
        ["data", "check", "--config=PLACE"],
        ["evaluate", "--checkpoint=PLACE", "--set=data.num_validation=1"],
        ["sweep", "--resume=PLACE"],
        ["report", "PLACE"],
        ["compare", "PLACE", "PLACE"],
        ["dashboard", "--dry-run", "PLACE"],
    ],
)
@pytest.mark.parametrize(("place", "shown"), [("~/a", "HOME/a"), ("$DISK/a", "HOME/disk/a"), ("$NOWHERE/a", "NOWHERE")])
def test_paths_in_flags_are_expanded(
    arguments: list[str], place: str, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DISK", str(tmp_path / "disk"))
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, [argument.replace("PLACE", place) for argument in arguments])
    assert done.exit_code == 2, done.output
    assert done.stderr.count("\n") == 1
    assert shown.replace("HOME", str(tmp_path)) in done.stderr
    if "NOWHERE" in place:
        assert "the environment variable $NOWHERE is not set" in done.stderr

"""Terminals and pipes: any encoding, closed or full streams; names are texts and not markup."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ripu_cli import display, progress
from ripu_cli.main import app
from ripu_cli.streams import Output
from typer.testing import CliRunner

from ripu_ray.config import load_config
from ripu_ray.runs.event_log import Progress
from ripu_ray.runs.run_folder import RunFolder
from tests.conftest import TINY
from tests.running import run_all

RIPU = f"{sys.executable} -m ripu_cli"
NAMES = ["[left]", "[/b]", "[red]x[/red]", "[link=x]", ":smile:", "a\\[b]", "café", "{x}", "%s"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A finished run: resuming it prints its tables, and is quick."""
    return run_all(tmp_path_factory.mktemp("runs") / "[/b] é", load_config(None, (*TINY, "cluster.scorers=0")))


def _bash(command: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    variables = {**os.environ, "COLUMNS": "200", **environment}
    script = ["bash", "-c", f"set -o pipefail; {command}"]
    return subprocess.run(script, env=variables, stdin=subprocess.DEVNULL, capture_output=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("redirection", "environment", "says"),
    [
        (">/dev/full", {}, "standard output cannot be written (No space left on device)"),
        (">&-", {}, "standard output cannot be written (Bad file descriptor)"),
        ("| head -1", {}, "standard output cannot be written (Broken pipe)"),
        ("<&- >&- 2>&-", {}, None),
        (">/dev/full 2>/dev/full", {}, None),
        ("", {"LC_ALL": "C", "PYTHONIOENCODING": "ascii:strict"}, None),
    ],
)
def test_a_run_needs_no_console(
    run: RunFolder, redirection: str, environment: dict[str, str], says: str | None
) -> None:
    (run.path / "results.csv").unlink(missing_ok=True)
    log = run.path / "log.jsonl"
    log.unlink(missing_ok=True)
    done = _bash(f"{RIPU} sweep --resume '{run.path}' {redirection}", **environment)
    assert done.returncode == 0, done.stderr
    assert (run.path / "results.csv").exists()
    if says:
        line = f"{says}: the run goes on without it, and its log is {log}"
        assert done.stderr.decode() == f"ripu: {line}\n"
        assert says in log.read_text(encoding="utf-8")
    elif "full" not in redirection:
        assert done.stderr == b""
    if environment:
        assert done.stdout.isascii()
        assert b"folder   " in done.stdout
        assert b"[/b] \\xe9" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ("--version >/dev/full", 1, b"standard output cannot be written (No space left on device)"),
        ("--help | head -1", 0, b""),
        ("--version >&-", 0, b""),
        ("sweep --no-such-flag 2>&-", 2, b""),
    ],
)
def test_other_commands_say_that_their_output_is_lost(arguments: str, code: int, says: bytes) -> None:
    done = _bash(f"{RIPU} {arguments}")
    assert done.returncode == code
    assert says in done.stderr
    assert done.stderr.count(b"\n") == bool(says)


def test_a_stream_that_fails_once_is_left_alone() -> None:
    lines: list[str] = []
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    output = Output(stream, "standard output", lines.append)
    output.write("é─\udc80\n")
    output.flush()
    assert stream.buffer.getvalue() == b"\\xe9\\u2500\\udc80\n"
    assert (output.encoding, output.isatty(), lines) == ("ascii", False, [])
    stream.close()
    for _ in range(2):
        output.write("more")
    assert len(lines) == 1


@pytest.mark.parametrize("name", [*NAMES, "a\x1b[31mb", "a\nb"])
def test_names_are_texts_in_every_table_and_line(
    name: str, run: RunFolder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    shown = name.replace("\x1b", "\\x1b").replace("\n", "\\n")
    table = display.new_table(name, "why")
    table.add_row(name, f"<{name}>")
    for console in (display.text_console(), display.wide_console()):
        console.print(table)
        out = capsys.readouterr().out
        assert out.count(shown) == 3, out
        assert "\x1b" not in out
    with progress.show_progress(run, True) as report:
        report(Progress("", "start", 0, 0, note=name))
    assert shown in capsys.readouterr().out.splitlines()


def test_names_in_the_folders_of_others_are_texts(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in NAMES:
        for arguments in (["compare", name, name], ["report", name], ["data", "check", f"--config={name}"]):
            done = CliRunner(env={"COLUMNS": "200"}).invoke(app, arguments)
            assert (done.exit_code, done.stdout) == (2, ""), done.output
            assert name in done.stderr

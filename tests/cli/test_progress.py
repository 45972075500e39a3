"""What a run shows of its progress, with real reports and a clock of the test."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from ripu_cli import progress

import ripu_ray as ripu
from ripu_ray.config import load_config
from ripu_ray.errors import counted
from ripu_ray.runs.run_folder import RunFolder
from tests.conftest import TINY

TRIAL = "region-w3-ripu-b5-s0"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time in seconds, which the test changes."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    steps = ("training.warmup_steps=100", "training.round_steps=50")
    return RunFolder.create(tmp_path / "x", load_config(None, (*TINY, *steps)))


def _reports(run: RunFolder, clock: list[float], show: Callable[[ripu.Progress], None]) -> None:
    """A warm-up at 10 steps a second, then a round: 5 images in 2 s, and 25 steps in 5 s."""
    (key,) = run.warmups
    for second in range(11):
        clock[0] = float(second)
        show(ripu.Progress(key, "warm-up", -1, 10 * second))
    show(ripu.Progress(key, "done", -1, 100, (0.4,)))
    for image in range(6):
        clock[0] = 10 + 2 * image / 5
        show(ripu.Progress(TRIAL, "score", 0, 100, (0.4,), images=image))
    for step in range(26):
        clock[0] = 12 + step / 5
        show(ripu.Progress(TRIAL, "train", 0, 100 + step, (0.4,)))


def test_lines_say_speed_and_what_is_left(
    run: RunFolder, clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with progress.show_progress(run, True) as show:
        _reports(run, clock, show)
        clock[0] = 100.0
        show(ripu.Progress(TRIAL, "train", 0, 150, (0.4,)))
        show(
            ripu.Progress(
                TRIAL, "done", 0, 150, (0.4,), "a note of more than eighty characters is one line, too: " + 9 * "a"
            )
        )
        show(ripu.Progress(TRIAL, "done", 1, 200, (0.4, 0.5)))
    assert capsys.readouterr().out.splitlines() == [
        "1 trial, 1 warm-up; starting Ray",
        "warm-up, seed 0: warm-up, step 0 of 100",
        "warm-up, seed 0: done, mIoU 40.0 %, about 10 s left",
        f"{TRIAL}: round 0 (1 of 2), score, mIoU 40.0 %, step 100 of 200, about 10 s left",
        # No line for a minute: the next report of the phase is one. 50 steps of 8 images in 88 s.
        f"{TRIAL}: round 0 (1 of 2), train, mIoU 40.0 %, step 150 of 200, 0.568 steps/s, 4.55 images/s, "
        "about 33 s left",
        f"{TRIAL}: a note of more than eighty characters is one line, too: aaaaaaaaa",
        f"{TRIAL}: done, mIoU 50.0 %",
    ]
    with progress.show_progress(run, False):
        assert capsys.readouterr().out == "1 trial, 1 warm-up\n"


def test_the_start_of_ray_is_no_part_of_the_speed(run: RunFolder, clock: list[float]) -> None:
    (key,) = run.warmups
    pace = progress.Pace(run)
    clock[0] = 60.0
    pace(ripu.Progress(key, "warm-up", -1, 0))
    assert pace.left() == ""
    clock[0] = 61.0
    pace(ripu.Progress(key, "warm-up", -1, 10))
    assert pace.left() == "about 19 s left"  # 190 of 200 steps


@pytest.mark.parametrize("width", [80, 160])
def test_a_terminal_shows_each_child_with_its_speed(
    width: int, run: RunFolder, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    console = Console(width=width, force_terminal=True, color_system=None, markup=False, record=True)
    monkeypatch.setattr(progress, "text_console", lambda: console)
    with progress.show_progress(run, True) as show, console.capture() as shown:
        _reports(run, clock, show)
        assert isinstance(show, progress._Bars)
        show._bars.refresh()
    text = shown.get()
    last = text[text.rindex("trials") :]
    assert "left" in last and TRIAL in last and "125/200" in last and "warm-up" not in last
    assert "round 0 (1 of 2), train" in last
    assert "5 steps/s" in last and "images/s" in last
    assert max(len(line) for line in last.splitlines()) <= width + 20  # with codes that move the cursor


@pytest.mark.parametrize(
    ("noun", "singular", "plural"),
    [
        ("trial", "1 trial", "2 trials"),
        ("warm-up", "1 warm-up", "0 warm-ups"),
        ("class", "1 class", "3 classes"),
        ("more trial", "1 more trial", "7 more trials"),
        ("shared warm-up", "1 shared warm-up", "2 shared warm-ups"),
    ],
)
def test_counts_have_their_plural(noun: str, singular: str, plural: str) -> None:
    assert [counted(1, noun), counted(int(plural.partition(" ")[0]), noun)] == [singular, plural]

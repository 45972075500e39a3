"""Ctrl-C and SIGTERM. Once: the run stops where nothing is lost, and says how it goes on. Twice: it stops now."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import typer

from ripu_ray.errors import StoppedError, StorageError
from ripu_ray.runs.interrupt import STOP, StopRequest

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stop_on_signals(folder: Path) -> Iterator[None]:
    """Hand signals on to everybody who works on a run, until the block ends.

    Args:
        folder: of the run, which this process holds.

    Raises:
        typer.Exit: with 128 plus the signal's number, if there was one; with 130 if somebody else asked to stop.
    """
    stop, received = StopRequest(folder / STOP), list[int]()

    def handle(number: int, frame: FrameType | None) -> None:
        if received or not _ask(stop):
            # Nothing is unwound, which could take long: what matters is on disk, and Ray ends with its parent.
            _say(f"ripu: stopped now; {_how_to_go_on(folder)}")
            os._exit(128 + number)
        received.append(number)
        _say("ripu: stopping after the step at hand; once more stops now")

    stop.withdraw()
    before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield
    except StoppedError:
        typer.echo(f"ripu: stopped; {_how_to_go_on(folder)}", err=True)
        raise typer.Exit(128 + (received or SIGNALS)[0]) from None
    finally:
        stop.withdraw()
        if not received:
            for number, handler in before.items():
                signal.signal(number, handler)
    if received:
        raise typer.Exit(128 + received[0])


def _ask(stop: StopRequest) -> bool:
    try:
        stop.make()
    except (OSError, StorageError):
        return False  # the disk is full, say
    return True


def _how_to_go_on(folder: Path) -> str:
    return f"`ripu sweep --resume {folder}` goes on where it stopped"


def _say(text: str) -> None:
    # Past Python's buffers, which the signal may have come in the middle of; with the cursor, which bars hide.
    shown = "\033[?25h" if os.isatty(2) else ""
    os.write(2, f"{shown}{text}\n".encode())

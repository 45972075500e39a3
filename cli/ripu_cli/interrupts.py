"""Ctrl-C, SIGTERM and SIGHUP. The first stops the run after the current step; the second stops it immediately."""

import os
import shlex
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

import typer

import ripu_ray as ripu
from ripu_cli.signals import SIGNALS
from ripu_ray.errors import StoppedError, StorageError, printable

_GRACE_S = 0.2
"""Time for a signal that was sent to all processes to reach this one, too."""


@contextmanager
def stop_on_signals(folder: Path) -> Iterator[Callable[[str], NoReturn]]:
    """Turn signals into a stop request to all processes of a run, until the block ends.

    SIGHUP stays ignored if it was ignored at the start, as under nohup.

    Args:
        folder: run folder whose lock this process holds.

    Yields:
        A function that ends this process at once. It takes the reason; the exit code is 1, or that of a signal.

    Raises:
        typer.Exit: with 128 plus the signal's number; with 130 if another process requested the stop.
    """
    stop, received = ripu.StopRequest.of(folder), list[int]()

    def handle(number: int) -> None:
        if received or not _request(stop):
            stop_now(number)
        received.append(number)
        _write("ripu: stopping after the current step; interrupt again to stop now")

    def stop_now(number: int, frame: FrameType | None = None) -> NoReturn:
        # No cleanup, which could take long: all state is on disk, and Ray ends with its parent.
        _write(f"ripu: stopped now; {_how_to_resume(folder)}")
        os._exit(128 + number)

    def end(reason: str) -> NoReturn:
        time.sleep(_GRACE_S)
        _write(f"ripu: {reason}; {_how_to_resume(folder)}")
        os._exit(128 + received[0] if received else 1)

    numbers = [number for number in SIGNALS if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN]
    close, stopped = _listen(handle), False
    before = {number: signal.signal(number, _leave_to_thread) for number in numbers}
    try:
        yield end
    except StoppedError:
        stopped = True
    finally:
        for number, handler in before.items():
            signal.signal(number, stop_now if received else handler)
        close()
    if stopped:
        typer.echo(f"ripu: stopped; {_how_to_resume(folder)}", err=True)
    if stopped or received:
        raise typer.Exit(128 + (received or SIGNALS)[0])


def _listen(handle: Callable[[int], None]) -> Callable[[], None]:
    """Call `handle` in a thread for each signal with a handler: the main thread may wait for Ray, outside Python.

    Returns:
        A function that ends this, once all signals that arrived are handled.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)

    def listen() -> None:
        while numbers := os.read(reading, 64):
            for number in numbers:
                if number in SIGNALS:
                    handle(number)
        os.close(reading)

    def close() -> None:
        signal.set_wakeup_fd(before)
        os.close(writing)
        thread.join()

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    return close


def _leave_to_thread(number: int, frame: FrameType | None) -> None:
    """Let the thread of `_listen` handle a signal: it learns only of those that have a handler."""


def _request(stop: "ripu.StopRequest") -> bool:
    try:
        stop.make()
    except (OSError, StorageError):
        return False  # such as a full disk
    return True


def _how_to_resume(folder: Path) -> str:
    return f"`ripu sweep --resume {printable(shlex.quote(str(folder)))}` resumes it"


def _write(text: str) -> None:
    # Without Python's buffers, which the signal may have interrupted. Shows the cursor, which progress bars hide.
    shown = "\033[?25h" if os.isatty(2) else ""
    with suppress(OSError):  # a closed terminal
        os.write(2, f"{shown}{text}\n".encode(errors="backslashreplace"))

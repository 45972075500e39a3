"""SIGINT, SIGTERM and SIGHUP before a run handles them (`interrupts`). It comes first, so its imports are small."""

import os
import signal
import sys
from contextlib import suppress
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def end_on_signals() -> None:
    """From now on, a signal ends this process with 128 plus its number. Signals that are ignored stay ignored."""
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _end)


def unwind_on_interrupt() -> None:
    """From now on, SIGINT raises KeyboardInterrupt, except in an import. For processes that called `end_on_signals`."""
    if signal.getsignal(signal.SIGINT) == _end:
        signal.signal(signal.SIGINT, _interrupt)


def _end(number: int, frame: FrameType | None) -> None:
    # Without an exception, which would be printed before the program has started.
    with suppress(Exception):
        sys.stdout.flush()
    os._exit(128 + number)


def _interrupt(number: int, frame: FrameType | None) -> None:
    caller = frame
    while caller:
        # Python drops exceptions in callbacks of its import system; modules drop those of imports they can do without.
        if caller.f_code.co_filename.startswith("<frozen importlib"):
            _end(number, frame)
        caller = caller.f_back
    raise KeyboardInterrupt

"""Standard output and error streams whose failures do not end a command: closed, full, or of another encoding."""

import errno
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

import typer

Tell = Callable[[str], object]


class Output(io.TextIOBase):
    """A stream over another one. After the first write that fails, everything is dropped.

    Characters that the encoding does not have are written as escapes.

    Args:
        stream: None if it was closed when the process started.
        name: for messages.
        tell: receives one line when a write fails.
    """

    def __init__(self, stream: TextIO | None, name: str, tell: Tell) -> None:
        self._stream, self._name, self._tell = stream, name, tell
        self.failure = None if stream else OSError(errno.EBADF, os.strerror(errno.EBADF))
        with suppress(AttributeError, OSError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Of the stream."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    @property
    def errors(self) -> str:  # type: ignore[override]
        """What becomes of characters that the encoding does not have."""
        return "backslashreplace"

    def writable(self) -> bool:
        """Return True."""
        return True

    def isatty(self) -> bool:
        """Whether the stream is a terminal."""
        with suppress(OSError, ValueError):
            return bool(self._stream and not self.failure and self._stream.isatty())
        return False

    def fileno(self) -> int:
        """Descriptor of the stream. Raises OSError if there is none."""
        if self._stream is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return self._stream.fileno()

    def write(self, text: str) -> int:
        """Write a text, or drop it."""
        self._attempt(lambda stream: stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Flush the stream."""
        self._attempt(lambda stream: stream.flush())

    def explain(self) -> str:
        """One line: why nothing is written."""
        reason = getattr(self.failure, "strerror", None) or self.failure
        return f"{self._name} cannot be written ({reason})"

    def _attempt(self, do: Callable[[TextIO], object]) -> None:
        if self.failure or self._stream is None:
            return
        try:
            do(self._stream)
        except (OSError, ValueError) as error:
            self.failure = error if isinstance(error, OSError) else OSError(errno.EBADF, str(error))
            # Python flushes its buffer once more when the process ends.
            with suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self._stream.fileno())
                os.close(nowhere)
            self._tell(self.explain())


class Console:
    """The two streams of this process, and who is told that standard output was lost."""

    def __init__(self) -> None:
        _fill_descriptors()
        self.out = Output(sys.stdout, "standard output", self._lost)
        self.err = Output(sys.stderr, "standard error", lambda line: None)
        self._tell: Tell | None = None
        self.is_told = False

    @contextmanager
    def telling(self, tell: Tell) -> Iterator[None]:
        """While the block runs, `tell` gets a line when standard output is lost, or at once if it was before."""
        self._tell = tell
        if self.out.failure and not self.is_told:
            self._lost(self.out.explain())
        try:
            yield
        finally:
            self._tell = None

    def _lost(self, line: str) -> None:
        if self._tell:
            self.is_told = True
            self._tell(line)
        elif self.out.failure and self.out.failure.errno not in (errno.EPIPE, errno.EBADF):
            self.err.write(f"ripu: {line}\n")


_console: Console | None = None


def open_console() -> Console:
    """Put our streams in place of Python's. The first call counts."""
    global _console
    if _console is None:
        _console = Console()
        # Without `buffer`, which Click would write UTF-8 to where the encoding is ASCII.
        sys.stdout, sys.stderr = _console.out, _console.err
    return _console


@contextmanager
def tell_if_lost(tell: Tell) -> Iterator[None]:
    """See `Console.telling`; without `open_console` nothing can be lost."""
    if _console is None:
        yield
        return
    with _console.telling(tell):
        yield


def is_lost() -> bool:
    """Whether the output of a command was lost, and not only that of a run, which has a log."""
    if _console is None or _console.out.failure is None or _console.is_told:
        return False
    return _console.out.failure.errno not in (errno.EPIPE, errno.EBADF)


class Program(typer.Typer):
    """Commands on streams that may be closed, full or of any encoding."""

    def __call__(self, *values: Any, **options: Any) -> Any:
        """Run the command that the arguments of the process name."""
        open_console()
        try:
            return super().__call__(*values, **options)
        except SystemExit as error:
            sys.stdout.flush()
            if not error.code and is_lost():
                sys.exit(1)
            raise


def _fill_descriptors() -> None:
    """Open /dev/null where a standard stream was closed: the next file to be opened would take its place."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: PTH123, SIM115

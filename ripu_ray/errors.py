"""The exceptions of this package. The text of each is one line for the user.

RipuError
├── InputError (ValueError)      exit code 2: the user can correct it; raised before any actor starts
│   ├── ConfigError              a key, a value or a combination of values
│   ├── DataError                a folder, an image, a label or a class file
│   └── RunFolderError           a run folder that holds something else, or is damaged
├── StorageError                 a file that cannot be written, for example on a full disk
├── ClusterError                 Ray does not start, or lacks or loses the resources of a phase
├── TrackingError                the installed version of W&B lacks an interface that is used
├── StoppedError                 a stop was requested; the run can be resumed
├── ScoreError                   an acquisition function from outside failed; names round and image
└── NonFiniteError               a NaN or infinity in logits or losses; names round and image

RemoteError (OSError)            a store behind a URL that refuses, or does not answer; another attempt may succeed
"""

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import isnan
from traceback import walk_tb
from typing import Any

_LONGEST = 1000
"""Characters of a message; the middle of a longer one is left out."""
_PASSWORD = re.compile(r"(://)[^/?#\s]*@")
_OURS = {"ripu_ray", "ripu_cli", "torch", "numpy", "ray", *sys.stdlib_module_names}
"""Packages whose frames do not say where a network, or the code around it, is wrong."""


class RipuError(Exception):
    """Base class of all expected errors.

    A message is one printable line: line ends, control and unpaired characters are written as escapes, the password
    of a URL is masked, and the middle of a long message is left out.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(in_one_line(message))


def in_one_line(text: str) -> str:
    """A text as one line of at most 1,000 characters, without passwords of URLs."""
    masked = _PASSWORD.sub(r"\1***@", text)
    if len(masked) > _LONGEST:
        masked = f"{masked[: _LONGEST * 3 // 4]} ... {masked[-_LONGEST // 5 :]}"
    return printable(masked)


def printable(text: str) -> str:
    """A text with line ends, control and unpaired characters as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def first_line(error: BaseException | None) -> str:
    """The first line of the message of a foreign exception, or the name of its class if there is no message.

    The second line follows if the first one announces it with a colon.
    """
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 (`__str__` is foreign code, too)
        text = ""
    lines = [line for line in map(str.strip, text.splitlines()) if line] or [type(error).__name__]
    return " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]


def whole_message(error: BaseException) -> str:
    """All of a foreign exception's message in one line, or its class."""
    return " ".join(str(error).split()) or type(error).__name__


def named(error: BaseException) -> str:
    """The class of a foreign exception and the first line of its message."""
    name, line = type(error).__name__, first_line(error)
    return name if name == line else f"{name}: {line}"


def counted(number: int, noun: str) -> str:
    """A number and its noun in the singular or plural: "1 trial", "2 trials", "2 classes"."""
    ending = "" if number == 1 else "es" if noun.endswith("s") else "s"
    return f"{number} {noun}{ending}"


def duration(seconds: float) -> str:
    """A time in its two largest units: "2 h 11 min", "3 min 20 s", "4.2 s"; a dash for NaN."""
    if isnan(seconds):
        return "–"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def few(names: Sequence[str]) -> str:
    """The first three of some names, and how many others there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def first_of(faults: Sequence[str]) -> str:
    """The first fault, and how many others there are, in one line."""
    return f"{faults[0]} (and {counted(len(faults) - 1, 'more fault')})" if len(faults) > 1 else faults[0]


class InputError(RipuError, ValueError):
    """Input that the user can correct."""


class ConfigError(InputError):
    """A configuration key, value or combination that is not acceptable."""


class DataError(InputError):
    """A file of a data set that is missing, unreadable or inconsistent.

    Attributes:
        faults: a line for each fault. The message names the first one and counts the others.
    """

    def __init__(self, message: str, faults: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.faults = tuple(map(in_one_line, faults)) or (str(self),)


class RunFolderError(InputError):
    """A run folder that belongs to another sweep, or whose files are damaged."""


class StorageError(RipuError):
    """A file that cannot be written."""


class RemoteError(OSError):
    """A store behind a URL refuses, or does not answer. `filename` and `strerror` are as in errors of a local disk."""

    def __str__(self) -> str:
        return in_one_line(f"{self.filename}: {self.strerror}")


class ClusterError(RipuError):
    """Ray cannot hold, or lost, what a phase needs."""


class TrackingError(RipuError):
    """The installed version of W&B lacks an interface that this package uses."""


class StoppedError(RipuError):
    """A stop was requested. The run can be resumed from its folder."""


class ScoreError(RipuError):
    """An acquisition function of a plug-in failed, or returned something else than a score."""


class NonFiniteError(RipuError, ArithmeticError):
    """A NaN or an infinity where a number was expected."""


class CodeError(RuntimeError):
    """A step or a prediction failed, mostly in code from outside this package; one line with file and line number.

    Or memory was short: then the line says what needs less. Ray tries such a trial again, unlike after a RipuError,
    since the memory may be free later.
    """


@contextmanager
def naming_code() -> Iterator[None]:
    """Raise an error of the block, which runs a network, as a CodeError: in another process, its frames are unknown.

    The line names the last place in code from outside, else in this package.
    """
    try:
        with naming_memory():
            yield
    except (RipuError, CodeError):
        raise
    except (Exception, SystemExit) as error:
        *_, (frame, _) = walk_tb(error.__traceback__)
        if isinstance(error, SystemExit) and not _is_foreign(frame.f_globals.get("__name__", "torch")):
            raise  # from the handler of a signal
        place = _last_place(error, _is_foreign) or _last_place(error, lambda module: module.startswith("ripu_ray."))
        raise CodeError(in_one_line(f"{place}{named(error)}")) from error


def _is_foreign(module: str) -> bool:
    return module.partition(".")[0] not in _OURS


@contextmanager
def naming_memory() -> Iterator[None]:
    """Raise a lack of memory, of a GPU or of this machine, as a CodeError that says what needs less."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, CodeError) or not (cause := _out_of_memory(error)):
            raise
        less = "smaller images, training.source_batch or training.target_batch need less"
        raise CodeError(in_one_line(f"out of memory: {less} ({first_line(cause)})")) from error


def _out_of_memory(error: BaseException | None) -> BaseException | None:
    """The lack of memory in a chain of errors: one that ends the recording of a CUDA graph is followed by another."""
    kinds = MemoryError, getattr(sys.modules.get("torch"), "OutOfMemoryError", MemoryError)
    while error and not isinstance(error, kinds) and "DefaultCPUAllocator" not in str(error):
        error = error.__context__
    return error


@contextmanager
def blamed(place: str, kind: type[RipuError] = ConfigError) -> Iterator[None]:
    """Raise errors of the block, which runs code from outside this package, as one line. Then call `check_torch`.

    Args:
        place: what the message names first, such as a setting. The file and line of a plug-in or program follow.
        kind: of the error.
    """
    before = torch_state()
    try:
        yield
    except (RipuError, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:  # whatever the code of a user raises
        line = _last_place(error, lambda module: module.startswith(("__main__", "ripu_plugins.")))
        raise kind(f"{place}: {line}{named(error)}") from error
    check_torch(place, before, kind)


FRESH_TORCH = "default type torch.float32, default device cpu, gradients on"


def torch_state() -> str:
    """The settings of torch that code can change for all later code of this thread. Without torch: `FRESH_TORCH`."""
    torch: Any = sys.modules.get("torch")
    if not hasattr(torch, "get_default_device"):  # absent, or being imported
        return FRESH_TORCH
    device, gradients = torch.get_default_device(), "on" if torch.is_grad_enabled() else "off"
    return f"default type {torch.get_default_dtype()}, default device {device}, gradients {gradients}"


def check_torch(place: str, before: str = FRESH_TORCH, kind: type[RipuError] = ConfigError) -> None:
    """Raise `kind`, one line, if `torch_state` is not as `before`: the networks and scores of this package need it."""
    if (now := torch_state()) != before:
        raise kind(f"{place}: torch has {now}: expected {before}")


def _last_place(error: BaseException, counts: Callable[[str], bool]) -> str:
    """File and line of the last frame of an error in a module whose name counts, or nothing."""
    frames = [
        (frame.f_code.co_filename, line)
        for frame, line in walk_tb(error.__traceback__)
        if counts(frame.f_globals.get("__name__", "torch"))  # code that torch has compiled has no name
    ]
    return "{}, line {}: ".format(*frames[-1]) if frames else ""

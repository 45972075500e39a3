"""What can go wrong, as exceptions whose text is one line for the person at the terminal.

RipuError
├── InputError (ValueError)      exit code 2: the user can mend it; raised before any actor starts
│   ├── ConfigError              a key, a value or a combination of values
│   ├── DataError                a folder, an image, a label or a class file
│   └── RunFolderError           a run folder that holds something else, or is damaged
├── ClusterError                 Ray does not have, or did not give, what a phase asked for
└── NonFiniteError               a NaN or infinity in logits or losses; names round and image
"""

from collections.abc import Sequence


class RipuError(Exception):
    """Root of everything this package raises on purpose."""


class InputError(RipuError, ValueError):
    """Input that the user can mend."""


class ConfigError(InputError):
    """A configuration key, value or combination that is not acceptable."""


class DataError(InputError):
    """A file of a data set that is missing, unreadable or inconsistent.

    Attributes:
        faults: a line for each fault, where the message names the first and counts the others.
    """

    def __init__(self, message: str, faults: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.faults = tuple(faults) or (message,)


class RunFolderError(InputError):
    """A run folder that belongs to another sweep, or whose files are damaged."""


class ClusterError(RipuError):
    """Ray cannot hold, or lost, what a phase needs."""


class NonFiniteError(RipuError, ArithmeticError):
    """A NaN or an infinity where a number was expected."""

"""`ripu` as a process. Signals are handled before anything large is imported."""

import atexit
import os
import sys
from contextlib import suppress

from ripu_cli.signals import end_on_signals


def main() -> None:
    """Run the command that the arguments of the process name."""
    end_on_signals()
    status: int | None = None

    def end() -> None:
        """Called last: end without the teardown of imported modules, which takes 1 to 3 s with torch."""
        if status is not None:
            for stream in (sys.stdout, sys.stderr):
                with suppress(AttributeError, OSError, ValueError):
                    stream.flush()
            os._exit(status)

    atexit.register(end)
    from ripu_cli.main import app

    try:
        app()
        status = 0
    except SystemExit as ending:
        status = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
        raise


if __name__ == "__main__":
    main()

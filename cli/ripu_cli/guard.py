"""Errors of commands as one line and an exit code, and paths of options with `~` and variables expanded.

All commands use it, and it has no options of its own, so it is a module of its own.
"""

import os
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import typer

from ripu_cli.options import expand_paths
from ripu_cli.signals import unwind_on_interrupt
from ripu_ray.errors import CodeError, ConfigError, InputError, RemoteError, RipuError, in_one_line


def one_line_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Print the expected errors of a command as one line and exit: code 2 for bad input, 1 for other failures."""

    @wraps(command)
    def guarded(*values: Any, **options: Any) -> None:
        unwind_on_interrupt()
        try:
            _check_working_directory()
            command(*values, **expand_paths(options))
        except (RipuError, RemoteError, CodeError) as error:
            typer.echo(f"ripu: {error}", err=True)
            raise typer.Exit(2 if isinstance(error, InputError) else 1) from None
        except OSError as error:
            if error.filename is None:
                raise
            typer.echo(f"ripu: {in_one_line(f'{error.filename}: {error.strerror}')}", err=True)
            raise typer.Exit(2 if isinstance(error, PermissionError) else 1) from None
        except KeyboardInterrupt:
            typer.echo("ripu: interrupted; `ripu sweep --resume FOLDER` resumes a run that had started", err=True)
            # Ray's exit handlers would print for seconds. All state is on disk.
            sys.stdout.flush()
            os._exit(130)

    return guarded


def _check_working_directory() -> None:
    try:
        Path.cwd()
    except FileNotFoundError:
        raise ConfigError("the working directory was removed: change to one that exists") from None

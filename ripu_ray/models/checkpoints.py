"""Weights on disk: written all at once or not at all, read without running what is in them."""

import pickle
import sys
import warnings
from pathlib import Path
from typing import Any

import torch

from ripu_ray.errors import DataError
from ripu_ray.files import replace_file


def save_checkpoint(path: Path, payload: dict[str, Any]) -> None:
    """Write a checkpoint so that `path` holds either what it held before or all of `payload`, whatever happens.

    Equal payloads give equal bytes.

    Args:
        path: the file.
        payload: tensors, numbers, texts, and lists and dicts of them.

    Raises:
        OSError: the folder cannot be written to.
    """
    replace_file(path, lambda file: torch.save(_canonical(payload), file))


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of `save_checkpoint`, onto the CPU.

    Args:
        path: the file. It may come from anywhere: only tensors and plain values are accepted, no code is run.

    Returns:
        The payload.

    Raises:
        DataError: one line that names the file: missing, damaged, not a checkpoint, or one that holds other objects.
    """
    try:
        # A warning only says that the pickle is not torch's own, which then fails anyway.
        with warnings.catch_warnings(action="ignore"):
            payload = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise DataError(f"{path}: the checkpoint is missing") from None
    except pickle.UnpicklingError:
        raise DataError(f"{path}: not a checkpoint of tensors and plain values; nothing in it was run") from None
    except (OSError, RuntimeError, EOFError, ValueError, LookupError, AttributeError) as error:
        raise DataError(f"{path}: the checkpoint is damaged ({type(error).__name__})") from None
    if not isinstance(payload, dict):
        raise DataError(f"{path}: expected a checkpoint's keys and values, found {type(payload).__name__}")
    return payload


def _canonical(value: Any) -> Any:
    """An equal value in which equal texts are one object and everything else is met once.

    A pickle refers back to objects it has met, so its bytes would tell a loaded optimiser from one that was not.
    """
    if isinstance(value, dict):
        return {_canonical(key): _canonical(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_canonical, value))
    return sys.intern(value) if isinstance(value, str) else value

"""The Hugging Face Hub: used while it answers, else the cache of this machine alone."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ripu_ray.errors import DataError, first_line

_ANSWER_TIMEOUT_S = 3.0
_BUSY, _BROKEN = (407, 429), 500
"""HTTP: a proxy that requires a password, and too many requests; from here on, errors of the server."""


@contextmanager
def hub_or_cache() -> Iterator[str]:
    """Within the block, libraries ask the hub only if it answers at once. Its client would try for half a minute.

    Yields:
        Why the hub does not answer; "" if it does, or is not to be asked (`HF_HUB_OFFLINE`).
    """
    from huggingface_hub import constants

    why = "" if constants.HF_HUB_OFFLINE else _ask(constants.ENDPOINT)
    switches = [constants, *([sys.modules["datasets"].config] if "datasets" in sys.modules else [])]
    before = [switch.HF_HUB_OFFLINE for switch in switches]
    try:
        for switch in switches if why else ():
            switch.HF_HUB_OFFLINE = True
        yield why
    finally:
        for switch, is_offline in zip(switches, before, strict=True):
            switch.HF_HUB_OFFLINE = is_offline


def cached_folder(model: str) -> Path:
    """The folder of this machine with the files of a model that was read last. Raises DataError: there is none."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(model, "config.json")
    if not isinstance(found, str):
        raise DataError(f"{model}: not in the cache of the Hugging Face Hub")
    return Path(found).parent


def _ask(url: str) -> str:
    """Why a server does not answer; "" if it does, with a status after which its client would not try again."""
    faults = [f"{url} did not answer within {_ANSWER_TIMEOUT_S:g} s"]

    def ask() -> None:
        from huggingface_hub import get_session

        try:
            status = get_session().head(url, timeout=_ANSWER_TIMEOUT_S).status_code
            faults[0] = f"{url} answers with status {status}" if status in _BUSY or status >= _BROKEN else ""
        except Exception as error:  # noqa: BLE001 (of whatever library the client uses)
            faults[0] = f"{url}: {first_line(error)}"

    # In a thread, since looking up a name has no timeout.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_ANSWER_TIMEOUT_S + 0.5)
    return faults[0]

"""Whether W&B is online: decided once for a sweep, before its trials start, and taken back by the first in trouble.

The decision stands in `tracking.json` of the run folder, so that every trial of the sweep follows it, wherever it runs.
"""

import json
import netrc
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from ripu_ray.config import TrackingConfig
from ripu_ray.errors import ConfigError
from ripu_ray.storage.files import replace_json

ANSWER_TIMEOUT_S = 10.0
"""Of the question whether the server takes the key."""
QUIET = {"WANDB_ERROR_REPORTING": "false", "WANDB_SILENT": "true"}
"""W&B's own error reports go to the same server, and keep a process from ending for 20 s where it does not answer."""
_HOSTS = ("api.wandb.ai", "api.forge.coreweave.com")
_ASK = """
import sys, wandb
print(wandb.setup(wandb.Settings(silent=True)).settings.base_url, flush=True)
try:
    wandb.Api(timeout=8)
except wandb.Error as error:
    sys.exit(str(error))
"""


@dataclass(frozen=True)
class Decision:
    """Where the W&B runs of a sweep go.

    Attributes:
        mode: online, offline or disabled.
        why: one line that says why it is not online though a key is there; empty otherwise.
    """

    mode: Literal["online", "offline", "disabled"]
    why: str = ""


def check_key(tracking: TrackingConfig) -> None:
    """Raises ConfigError: `tracking.wandb` is online, but there is no key."""
    if tracking.wandb == "online" and not has_key():
        raise ConfigError("tracking.wandb is online: expected a key in WANDB_API_KEY or from `wandb login`")


def has_key() -> bool:
    """Whether this machine knows a key for W&B's server, or for that of WANDB_BASE_URL."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    try:
        known = netrc.netrc(os.environ.get("NETRC") or Path.home() / ".netrc")
    except (OSError, netrc.NetrcParseError):
        return False
    hosts = (urlsplit(os.environ.get("WANDB_BASE_URL", "")).netloc, *_HOSTS)
    return any(host and known.authenticators(host) for host in hosts)


def decide(tracking: TrackingConfig, run: Path) -> Decision:
    """Decide for all trials of the sweep in the folder `run`, and write it down there.

    Online where that is asked for, or a key is known, and the server answers and takes the key; else offline.
    """
    decision = _decide(tracking)
    replace_json(_file(run), asdict(decision))
    return decision


def current(tracking: TrackingConfig, run: Path) -> Decision:
    """What is decided now; where nobody has decided yet, `decide`."""
    try:
        decision = Decision(**json.loads(_file(run).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return decide(tracking, run)
    is_another = tracking.wandb in ("offline", "disabled") and tracking.wandb != decision.mode
    return decide(tracking, run) if is_another else decision


def go_offline(run: Path, why: str) -> None:
    """Take it back, and say why: trials that start from now on are offline."""
    replace_json(_file(run), asdict(Decision("offline", why)))


def _decide(tracking: TrackingConfig) -> Decision:
    if tracking.wandb in ("offline", "disabled"):
        return Decision(tracking.wandb)
    if not has_key():
        return Decision("offline")
    why = ask_server()
    return Decision("offline", why) if why else Decision("online")


def ask_server() -> str:
    """Empty if W&B's server takes the key, else why not, in one line.

    W&B itself asks, with its own rules for servers, keys and proxies, in a process that can be ended at any time.
    """
    asking = subprocess.Popen(
        [sys.executable, "-c", _ASK],
        env={**os.environ, **QUIET},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with asking:
        assert asking.stdout
        # W&B is loaded once it says whom it is going to ask: that is no fault of the server's.
        server = asking.stdout.readline().strip()
        try:
            _, said = asking.communicate(timeout=ANSWER_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            asking.kill()
            return f"{server}: no answer"
    if not asking.returncode:
        return ""
    reason = (said.strip().splitlines() or ["no answer"])[-1].rpartition(f"{server}: ")[2]
    return f"{server}: {'no answer' if 'did not respond in time' in reason else reason}"


def _file(run: Path) -> Path:
    return run / "tracking.json"

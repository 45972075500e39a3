"""Whether W&B is online: decided once, before the trials of a sweep start, and revoked by the first trial that fails.

`tracking.json` in the run folder stores the decision and the target, so that every trial on every node reads them.
"""

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
from ripu_ray.tracking.target import FILE, find_target, read_stored, wanted_mode

KEY = "WANDB_API_KEY"
"""W&B's variable with the key."""
ANSWER_TIMEOUT_S = 10.0
"""Timeout of the check whether the server accepts the key."""
QUIET = {"WANDB_ERROR_REPORTING": "false", "WANDB_SILENT": "true"}
"""W&B sends error reports to the same server, which delays the end of a process by 20 s if it does not answer."""
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
    """The mode of the W&B runs of a sweep.

    Attributes:
        mode: online, offline or disabled.
        why: one line with the reason if it is not online although a key is set; else empty.
    """

    mode: Literal["online", "offline", "disabled"]
    why: str = ""


def check_key(tracking: TrackingConfig) -> None:
    """Check that a key is set. Raises ConfigError if `tracking.wandb` or WANDB_MODE is online and there is none."""
    if wanted_mode(tracking) == "online" and not has_key():
        setting = "tracking.wandb" if tracking.wandb == "online" else "WANDB_MODE"
        raise ConfigError(f"{setting} is online: expected a key in {KEY} or from `wandb login`")


def has_key() -> bool:
    """Whether this machine has a key for W&B's server or for that of WANDB_BASE_URL."""
    if os.environ.get(KEY) or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    try:
        known = netrc.netrc(os.environ.get("NETRC") or Path.home() / ".netrc")
    except (OSError, netrc.NetrcParseError):
        return False
    hosts = (urlsplit(os.environ.get("WANDB_BASE_URL", "")).netloc, *_HOSTS)
    return any(host and known.authenticators(host) for host in hosts)


def decide(tracking: TrackingConfig, run: Path) -> Decision:
    """Decide for all trials of the sweep in the folder `run`, and store the decision there.

    Online if a key is set, the server answers and accepts it, and neither `tracking.wandb` nor WANDB_MODE says
    otherwise; else offline.
    """
    decision = _decide(tracking)
    replace_json(run / FILE, {**asdict(decision), "target": asdict(find_target(tracking, run))})
    return decision


def current(tracking: TrackingConfig, run: Path) -> Decision:
    """The stored decision; calls `decide` if there is none."""
    stored = read_stored(run)
    if not {"mode", "why"} <= stored.keys():
        return decide(tracking, run)
    decision = Decision(stored["mode"], stored["why"])
    is_another = tracking.wandb in ("offline", "disabled") and tracking.wandb != decision.mode
    return decide(tracking, run) if is_another else decision


def go_offline(run: Path, why: str) -> None:
    """Store the decision to be offline, with the reason; it applies to trials that start later."""
    replace_json(run / FILE, read_stored(run) | asdict(Decision("offline", why)))


def describe_plan(tracking: TrackingConfig, run: Path, is_job: bool = False) -> str:
    """One line: what a run, or a job that is submitted, would do with W&B, and where its data would go.

    No server is asked.
    """
    mode, target = wanted_mode(tracking), find_target(tracking, run)
    if mode == "disabled":
        return "W&B: disabled, nothing is written"
    project = "/".join(filter(None, (target.entity, target.project)))
    tags = f", tags {', '.join(target.tags)}" if target.tags else ""
    if is_job:
        return f"W&B: {mode}, for project {project}{tags}; the key and the folder are those of the cluster"
    place = f"{target.folder}/{run.name}-TOKEN/TRIAL" if target.folder else f"{run}/trials/TRIAL"
    if mode == "offline" or not has_key():
        why = "" if mode == "offline" else " (no key is known)"
        return f"W&B: offline{why}, in {place}/wandb, for project {project}{tags}"
    return f"W&B: online if its server accepts the key, else offline, project {project}{tags}, files in {place}/wandb"


def _decide(tracking: TrackingConfig) -> Decision:
    mode = wanted_mode(tracking)
    if mode in ("offline", "disabled"):
        return Decision(mode)
    if not has_key():
        return Decision("offline")
    why = ask_server()
    return Decision("offline", why) if why else Decision("online")


def ask_server() -> str:
    """Check W&B's server. Returns an empty text if it accepts the key, else the reason in one line.

    The W&B client sends the request, with its own rules for servers, keys and proxies, in a process that can be killed.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", _ASK],
        env={**os.environ, **QUIET},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C would end it, and a resumed run would be offline
    )
    with process:
        assert process.stdout
        # The URL is printed after W&B is imported: the timeout covers the request alone.
        server = process.stdout.readline().strip()
        try:
            _, errors = process.communicate(timeout=ANSWER_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            return f"{server}: no answer"
    if not process.returncode:
        return ""
    reason = (errors.strip().splitlines() or ["no answer"])[-1].rpartition(f"{server}: ")[2]
    return f"{server}: {'no answer' if 'did not respond in time' in reason else reason}"

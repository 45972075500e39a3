"""Whether W&B is online, decided before anything starts."""

import netrc
import os

from ripu_ray.config import TrackingConfig, WandbMode
from ripu_ray.errors import ConfigError


def resolve_mode(tracking: TrackingConfig) -> WandbMode:
    """`auto` is online where a key is known to this machine, else offline; the other modes stand.

    Raises:
        ConfigError: online, but there is no key.
    """
    has_key = bool(os.environ.get("WANDB_API_KEY")) or _netrc_has_key()
    if tracking.wandb == "online" and not has_key:
        raise ConfigError("tracking.wandb is online: expected a key in WANDB_API_KEY or from `wandb login`")
    if tracking.wandb != "auto":
        return tracking.wandb
    return "online" if has_key else "offline"


def _netrc_has_key() -> bool:
    try:
        return netrc.netrc().authenticators("api.wandb.ai") is not None
    except (OSError, netrc.NetrcParseError):
        return False

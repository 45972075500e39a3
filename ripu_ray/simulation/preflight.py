"""What can be known to be wrong before anything starts."""

from math import ceil

from ripu_ray.config import ModelConfig
from ripu_ray.core.budget import num_regions
from ripu_ray.core.geometry import purchase_radius
from ripu_ray.data.checking import check_domains
from ripu_ray.data.loading import Domains, open_domains
from ripu_ray.errors import ConfigError
from ripu_ray.simulation.grid import Trial


def check_trials(trials: tuple[Trial, ...]) -> None:
    """Check the data of a sweep, and that every trial of it can buy something.

    Raises:
        DataError: names the file that is missing or wrong: images, labels, weights to start from.
        ConfigError: a window is larger than an image, a budget buys nothing in any image, or nothing can be compiled
            though `training.compile` asks for it.
    """
    config = trials[0].config
    data = config.data
    domains = open_domains(data, not config.training.source_free)
    check_domains(domains, data)
    for trial in trials:
        _check_purchases(trial, domains)
    _check_weights(config.model, domains)
    if config.training.compile and not config.cluster.gpu:
        _check_compiler()


def _check_weights(model: ModelConfig, domains: Domains) -> None:
    if not model.init_from and not model.backbone_weights:
        return
    # Here, so that whatever else is wrong is said before torch is loaded.
    from ripu_ray.models.networks import build_network
    from ripu_ray.models.pretrained import load_pretrained

    load_pretrained(build_network(model, domains.classes.num_classes, seed=0), model)


def _check_compiler() -> None:
    """Of this machine; what the GPUs' machines can compile, they find out."""
    import torch

    try:
        torch.compile(lambda x: x + 1)(torch.zeros(8))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(f"training.compile: torch.compile does not work on this machine ({reason})") from None


def _check_purchases(trial: Trial, domains: Domains) -> None:
    strategy = trial.config.strategy
    sizes = {domains.pool.label_size(image_id) for image_id in domains.pool.image_ids}
    for height, width in sorted(sizes):
        if strategy.window > min(height, width):
            raise ConfigError(
                f"window {strategy.window} is larger than the target's images of {height}x{width} (height x width)"
            )
    regions = [
        num_regions(
            strategy.budget,
            size,
            mode=strategy.mode,
            radius=strategy.radius,
            rounds=strategy.rounds,
            round_index=strategy.rounds - 1,
            spent_pixels=0,
            parity=strategy.parity,
        )
        for size in sizes
    ]
    if not any(regions):
        needed = (2 * purchase_radius(strategy.mode, strategy.radius) + 1) ** 2
        most = max(ceil(strategy.budget.pixels(height * width)) for height, width in sizes)
        raise ConfigError(
            f"budget {strategy.budget} is at most {most} pixels of an image, too little for a single window "
            f"of {needed} pixels"
        )

"""Validation of data, budgets and weights before the start of a sweep."""

from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from math import ceil

from ripu_ray.config import DatasetSection, ModelConfig, StrategyConfig
from ripu_ray.config.registry import NETWORKS
from ripu_ray.core.budget import allowance
from ripu_ray.core.geometry import purchase_area
from ripu_ray.core.oracle import flip_chances
from ripu_ray.data.checking import check_domains
from ripu_ray.data.loading import Domains, open_domains
from ripu_ray.errors import ConfigError
from ripu_ray.runs.grid import Trial


def check_trials(trials: tuple[Trial, ...]) -> None:
    """Check the data of a sweep, and that every trial can buy at least one region.

    Raises:
        DataError: images, labels or initial weights are missing or damaged; names the file.
        ConfigError: a window is larger than an image, a budget is too small for one region in any image, a confusion
            matrix does not fit the classes, people are asked in several trials or with a stopping rule that has no
            validation images, or torch.compile fails with `training.compile`.
    """
    opened: dict[tuple[DatasetSection, bool], Domains] = {}
    for config in (trial.config for trial in trials):
        key = config.data, config.opens_source
        if key not in opened:
            opened[key] = open_domains(*key)
            check_domains(opened[key], config.data)
        try:
            flip_chances(config.oracle.noise.flips, opened[key].classes.num_classes)
        except ValueError as error:
            raise ConfigError(str(error)) from None
        if config.oracle.kind == "human":
            _check_people(trials, opened[key])
        if config.strategy.shape == "superpixels" and find_spec("skimage") is None:
            raise ConfigError("strategy.shape superpixels needs scikit-image: pip install 'ripu-ray[superpixels]'")
        if not config.strategy.is_reference:
            _check_purchases(config.strategy, opened[key])
    # Last, since these checks import torch, which takes seconds.
    for model, key in {(trial.config.model, (trial.config.data, trial.config.opens_source)) for trial in trials}:
        _check_weights(model, opened[key])
    if any(trial.config.training.compile and not trial.config.cluster.gpu for trial in trials):
        _check_compiler()


def describe_weights(trials: Iterable[Trial]) -> list[str]:
    """For each network that can start from packaged ImageNet weights, a line that says whether it does."""
    models = dict.fromkeys(trial.config.model for trial in trials if not trial.config.model.init_from)
    packages = {model: NETWORKS[model.name].package for model in models}
    return [
        f"{model.name} starts from "
        + (f"the ImageNet weights of {package}" if model.pretrained == "imagenet" else "random weights")
        for model, package in packages.items()
        if package
    ]


def _check_people(trials: Sequence[Trial], domains: Domains) -> None:
    if len(trials) > 1:
        raise ConfigError(
            f"oracle.kind human: {len(trials)} trials: expected one, since people answer each question once"
        )
    if trials[0].config.stopping.rule and not domains.validation.image_ids:
        raise ConfigError(
            f"stopping.rule {trials[0].config.stopping.rule}: needs validation images, and there are none"
        )


def _check_weights(model: ModelConfig, domains: Domains) -> None:
    if not (model.init_from or model.backbone_weights or model.pretrained == "imagenet"):
        return
    from ripu_ray.models.networks import build_network
    from ripu_ray.models.pretrained import load_pretrained

    load_pretrained(build_network(model, domains.classes.num_classes, seed=0), model)


def _check_compiler() -> None:
    """Check torch.compile on this machine. It is not called for GPU runs, whose workers may be elsewhere."""
    import torch

    try:
        torch.compile(lambda x: x + 1)(torch.zeros(8))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(f"training.compile: torch.compile does not work on this machine ({reason})") from None


def _check_purchases(strategy: StrategyConfig, domains: Domains) -> None:
    sizes = {domains.pool.label_size(image_id) for image_id in domains.pool.image_ids}
    for height, width in sorted(sizes):
        if strategy.window > min(height, width):
            raise ConfigError(
                f"window {strategy.window} is larger than the target's images of {height}x{width} (height x width)"
            )
    needed = purchase_area(strategy.mode, strategy.radius)
    regions = [allowance(strategy, [size], strategy.rounds - 1).num_regions(needed) for size in sizes]
    if not any(regions):
        most = max(ceil(strategy.budget.pixels(height * width)) for height, width in sizes)
        raise ConfigError(
            f"budget {strategy.budget} is at most {most} pixels of an image, too little for a single window "
            f"of {needed} pixels"
        )

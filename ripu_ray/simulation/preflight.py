"""Validation of data, budgets and weights before the start of a sweep."""

from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from math import ceil

from ripu_ray.config import Config, DatasetSection, StrategyConfig
from ripu_ray.config.registry import NETWORKS
from ripu_ray.core.budget import allowance
from ripu_ray.core.geometry import purchase_area
from ripu_ray.core.oracle import flip_chances
from ripu_ray.data.checking import check_domains
from ripu_ray.data.loading import Domains, open_domains
from ripu_ray.errors import ConfigError
from ripu_ray.runs.grid import Trial


def check_trials(trials: tuple[Trial, ...]) -> list[str]:
    """Check the data of a sweep, that every trial can buy at least one region, and networks that are not ours.

    Returns:
        Lines for the log: what networks start from.

    Raises:
        DataError: images, labels or initial weights are missing or damaged; names the file.
        ConfigError: a window is larger than an image, a budget is too small for one region in any image, a confusion
            matrix does not fit the classes, a network cannot be built, trained or scored, `training.rates` names no
            parameter, or torch.compile fails with `training.compile`.
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
        if config.strategy.shape == "superpixels" and find_spec("skimage") is None:
            raise ConfigError("strategy.shape superpixels needs scikit-image: pip install 'ripu-ray[superpixels]'")
        if not config.strategy.is_reference:
            _check_purchases(config.strategy, opened[key])
    # Last, since these checks import torch, which takes seconds.
    notes = _check_networks([trial.config for trial in trials], opened)
    if any(trial.config.training.compile and not trial.config.cluster.gpu for trial in trials):
        _check_compiler()
    return notes


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


def _check_networks(configs: Sequence[Config], opened: Mapping[tuple[DatasetSection, bool], Domains]) -> list[str]:
    """Check each distinct network once. Returns lines for the log."""
    distinct = {}
    for config in configs:
        chosen = config.training.model_dump_json(include={"freeze", "rates"})
        data = config.data, config.opens_source
        distinct[config.model, chosen, _smallest_batch(config), data] = config, opened[data]
    return list(dict.fromkeys(note for pair in distinct.values() for note in _check_network(*pair)))


def _check_network(config: Config, domains: Domains) -> list[str]:
    model, training = config.model, config.training
    is_foreign = NETWORKS[model.name].is_foreign
    loads = model.init_from or model.backbone_weights or model.pretrained == "imagenet"
    if not (is_foreign or loads or training.freeze != "none" or training.rates):
        return []
    from ripu_ray.models.networks import build_network
    from ripu_ray.models.pretrained import load_pretrained
    from ripu_ray.models.wrapped import check_network
    from ripu_ray.training.optimiser import freeze

    num_classes = domains.classes.num_classes
    network = build_network(model, num_classes, seed=0)
    notes = load_pretrained(network, model)
    if is_foreign:
        listed = [images for images in (domains.source, domains.pool, domains.validation) if images.image_ids]
        sizes = sorted({images.image(images.image_ids[0]).shape[:2] for images in listed})
        key = next(key for key in ("factory", "checkpoint", "name") if getattr(model, key))
        check_network(network, num_classes, sizes, _smallest_batch(config), f"model.{key} {getattr(model, key)}")
    freeze(network, training)
    return notes


def _smallest_batch(config: Config) -> int:
    """Images of a training step that one worker gets, at most 2: a single one is what normalisation may refuse."""
    smallest = min(config.training.source_batch, config.training.target_batch)
    return min(2, smallest // max(1, config.cluster.train_workers))


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

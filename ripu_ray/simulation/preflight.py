"""Validation of data, budgets and weights before the start of a sweep."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.util import find_spec
from math import ceil
from pathlib import Path

from ripu_ray.config import Config, DatasetSection, ModelConfig, StoppingConfig, StrategyConfig
from ripu_ray.config.fields import HubId
from ripu_ray.config.registry import ACQUISITIONS, NETWORKS
from ripu_ray.core.budget import allowance, sharing
from ripu_ray.core.geometry import purchase_area
from ripu_ray.core.oracle import flip_chances
from ripu_ray.data.checking import check_domains
from ripu_ray.data.contents import NOTHING
from ripu_ray.data.loading import Domains, open_domains
from ripu_ray.errors import ConfigError, ScoreError, check_torch
from ripu_ray.runs.data_seal import DataSeal, weight_files
from ripu_ray.runs.effects import idle_settings
from ripu_ray.runs.grid import Trial, arms


def check_trials(
    trials: tuple[Trial, ...],
    earlier: DataSeal = DataSeal(),  # noqa: B008 (frozen)
    notify: Callable[[str], object] = lambda line: None,
) -> DataSeal:
    """Check the data of a sweep, and that every trial can buy at least one region.

    Args:
        trials: of the sweep.
        earlier: an earlier result; files whose sizes and times are in it are not hashed again.
        notify: receives lines on data that is accepted, but may be a mistake.

    Returns:
        Digests of all data and initial weights.

    Raises:
        DataError: images, labels or initial weights are missing or damaged; names the file.
        ConfigError: a network lacks what a strategy needs, a window is larger than an image, a budget is too small for
            one region in any image, or in the pool that shares it, a confusion matrix does not fit the classes, a
            network cannot be built, trained or scored, `training.rates` names no parameter, an acquisition function of
            a plug-in cannot score an image, people are asked what they cannot answer, or torch.compile fails with
            `training.compile`.
    """
    configs = list(arms(trials).values())  # nothing that is checked depends on the seed
    with_source = {config.data: False for config in configs}
    for config in configs:
        with_source[config.data] |= config.opens_source
    notes = dict[str, None]()
    opened = {data: open_domains(data, opens_source) for data, opens_source in with_source.items()}
    seal = _seal_data(opened, earlier, lambda line: notes.setdefault(line))
    for config in configs:
        if config.oracle.kind == "human":
            _check_people(trials, opened[config.data])
        _check_needs(config)
        _check_strategy(config, opened[config.data])
    check_torch("this process")
    # Last, since these checks import torch, which takes seconds.
    notes |= dict.fromkeys([*idle_settings(configs), *_check_rules(configs)])
    notes |= dict.fromkeys(_check_networks(configs, opened))
    _check_scores(configs)
    for model in {config.model for config in configs}:
        seal = seal.with_weights(_weight_files(model), earlier)
    if any(config.training.compile and not config.cluster.gpu for config in configs):
        _check_compiler()
    for note in notes:
        notify(note)
    return seal


def _seal_data(
    opened: Mapping[DatasetSection, Domains], earlier: DataSeal, notify: Callable[[str], object]
) -> DataSeal:
    """Check the files of all data sets. Returns their digests."""
    seal = DataSeal()
    for data, domains in opened.items():
        contents = check_domains(domains, data, earlier.contents(data), notify)
        if contents != NOTHING:
            seal = seal.with_contents(data, contents)
    return seal


def _check_strategy(config: Config, domains: Domains) -> None:
    try:
        flip_chances(config.oracle.noise.flips, domains.classes.num_classes)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    _check_answer(config)
    if config.strategy.shape == "superpixels" and find_spec("skimage") is None:
        raise ConfigError("strategy.shape superpixels needs scikit-image: pip install 'ripu-ray[superpixels]'")
    if not config.strategy.is_reference:
        _check_purchases(config.strategy, domains)


def _check_answer(config: Config) -> None:
    """Check that the strategy needs no more than the answer says. Raises ConfigError."""
    strategy = config.strategy
    if config.answer != "mask" and (what := _counts_labels(strategy)):
        raise ConfigError(
            f"strategy.{what}: counts the pixels of each class, which oracle.answer {config.answer} does not say"
        )
    if config.answer == "multi_hot" and config.training.class_weights != "none":
        raise ConfigError("training.class_weights: needs one class for each pixel, not oracle.answer multi_hot")


def _counts_labels(strategy: StrategyConfig) -> str:
    """The setting that counts labels of bought regions, or ""."""
    if "bought" in strategy.needs:
        return f"acquisition {strategy.acquisition}"
    return "avoid_void learned" if strategy.avoid_void == "learned" else ""


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


def _check_needs(config: Config) -> None:
    """Check that the network offers what the strategy needs. Raises ConfigError."""
    words = {"features": "features of its decoder", "dropout": "dropout"}
    strategy, model = config.strategy, config.model.name
    for need in sorted((strategy.needs & words.keys()) - NETWORKS[model].gives):
        setting = "diversity" if need == "features" and strategy.diversity else f"acquisition {strategy.acquisition}"
        others = " or ".join(name for name, builder in NETWORKS.usable().items() if need in builder.gives)
        raise ConfigError(
            f"strategy.{setting} needs a network with {words[need]}, and `{model}` has none; choose model.name {others}"
        )


def _check_people(trials: Sequence[Trial], domains: Domains) -> None:
    if len(trials) > 1:
        raise ConfigError(
            f"oracle.kind human: {len(trials)} trials: expected one, since people answer each question once"
        )
    if what := _counts_labels(trials[0].config.strategy):
        raise ConfigError(f"strategy.{what}: counts labels when they are bought, which oracle.kind human cannot do")
    stopping = trials[0].config.stopping
    if stopping.rule and not domains.validation.image_ids:
        from ripu_ray.simulation.stopping import needs_signals

        if not needs_signals(stopping):
            raise ConfigError(f"stopping.rule {stopping.rule}: needs validation images, and there are none")


def _check_rules(configs: Sequence[Config]) -> list[str]:
    """Make each stopping rule once. Returns lines on those that can end no trial. Raises ConfigError."""
    rounds: dict[StoppingConfig, int] = {}
    for config in configs:
        if config.stopping.rule:
            own = 0 if config.strategy.is_reference else config.strategy.rounds
            rounds[config.stopping] = max(own, rounds.get(config.stopping, 0))
    if not rounds:
        return []
    from ripu_ray.simulation.stopping import make_rule

    made = [(stopping.rule, make_rule(stopping), most) for stopping, most in rounds.items()]
    return [
        f"stopping.rule {name}: ends no trial of fewer than {rule.rounds_needed} rounds, and strategy.rounds is {most}"
        for name, rule, most in made
        if rule and 0 < most < rule.rounds_needed
    ]


def _check_networks(configs: Sequence[Config], opened: Mapping[DatasetSection, Domains]) -> list[str]:
    """Check each distinct network once. Returns lines for the log."""
    distinct = {}
    for config in configs:
        chosen = config.training.model_dump_json(include={"freeze", "rates", "precision"})
        distinct[config.model, chosen, _smallest_batch(config), config.data] = config, opened[config.data]
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
        place, gives = f"model.{key} {getattr(model, key)}", NETWORKS[model.name].gives
        # A GPU casts other operations than this CPU.
        bfloat16 = training.precision == "bfloat16" and not config.cluster.gpu
        check_network(network, num_classes, sizes, _smallest_batch(config), place, gives, bfloat16)
    freeze(network, training)
    return notes


def _smallest_batch(config: Config) -> int:
    """Images of a training step that one worker gets, at most 2: a single one is what normalisation may refuse."""
    smallest = min(config.training.source_batch, config.training.target_batch)
    return min(2, smallest // max(1, config.cluster.train_workers))


def _check_scores(configs: Sequence[Config]) -> None:
    """Score one image with each acquisition function from outside this package. Raises ConfigError: it cannot."""
    distinct = {}
    for config in configs:
        strategy = config.strategy
        if not strategy.is_reference and ACQUISITIONS[strategy.acquisition].is_foreign:
            chosen = strategy.acquisition, strategy.mode, strategy.shape, strategy.window
            distinct[chosen, repr(strategy.options), config.model, config.data] = config
    for config in distinct.values():
        import torch

        from ripu_ray.simulation.scoring import ImageScorer

        num_threads = torch.get_num_threads()
        try:
            with torch.random.fork_rng(devices=()):
                scorer = ImageScorer(config)
                scorer.score_map(0, scorer.pool.image_ids[0])
        except ScoreError as error:
            raise ConfigError(f"strategy.{error}") from None
        finally:
            torch.set_num_threads(num_threads)


def _weight_files(model: ModelConfig) -> dict[str, Path]:
    """Name in the configuration -> local file or folder of initial weights; the check has downloaded what is remote."""
    files = {}
    for name, source in weight_files(model).items():
        if isinstance(source, HubId):
            from ripu_ray.storage.hub import cached_folder

            source = cached_folder(source)
        elif isinstance(source, str):
            from ripu_ray.models.fetching import fetch

            source = fetch(source)
        files[name] = source
    return files


def _check_compiler() -> None:
    """Check torch.compile on this machine. It is not called for GPU runs, whose workers may be elsewhere."""
    import torch

    try:
        torch.compile(lambda x: x + 1)(torch.zeros(8))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(f"training.compile: torch.compile does not work on this machine ({reason})") from None


def _check_purchases(strategy: StrategyConfig, domains: Domains) -> None:
    sizes = [domains.pool.label_size(image_id) for image_id in domains.pool.image_ids]
    for height, width in sorted({*sizes}):
        if strategy.window > min(height, width):
            raise ConfigError(
                f"strategy.windows.{strategy.mode}: window {strategy.window} is larger than the target's images of "
                f"{height}x{width} (height x width)"
            )
    needed = purchase_area(strategy.mode, strategy.radius)
    groups = {tuple(group) for group in sharing(strategy, sizes)}
    if not any(allowance(strategy, group, strategy.rounds - 1).num_regions(needed) for group in groups):
        most = max(ceil(sum(strategy.budget.pixels(height * width) for height, width in group)) for group in groups)
        whose = "the pool" if strategy.allocation == "pool" else "an image"
        raise ConfigError(
            f"strategy.budget: budget {strategy.budget} is at most {most} pixels of {whose}, too little for a single "
            f"window of {needed} pixels"
        )

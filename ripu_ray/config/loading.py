"""The configuration as a whole, and where its values come from.

Each source overrides the ones before it: the defaults of the sections, a YAML file or the demo's settings,
`--set key=value`, the flags of the command line.
"""

from collections.abc import Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, SerializeAsAny, ValidationError, model_validator

from ripu_ray.config.data_section import DatasetSection
from ripu_ray.config.fields import Section, Seed
from ripu_ray.config.model import ModelConfig
from ripu_ray.config.paths import anchor, copy_paths
from ripu_ray.config.plugins import (
    Plugin,
    add_program_parts,
    declare_plugin,
    find_file,
    program_parts,
    program_plugin,
    read_sources,
    resolve_plugins,
    run_plugins,
)
from ripu_ray.config.reading import as_keyed, as_texts, one_line, put
from ripu_ray.config.registry import DATASETS
from ripu_ray.config.safe_yaml import find_credentials, walk
from ripu_ray.config.sections import (
    Answer,
    ClusterConfig,
    OracleConfig,
    SweepConfig,
    TrackingConfig,
)
from ripu_ray.config.sources import merge_sources
from ripu_ray.config.strategy import REFERENCES, StoppingConfig, StrategyConfig
from ripu_ray.config.training import TrainingConfig
from ripu_ray.config.writing import to_tree
from ripu_ray.errors import ConfigError, named
from ripu_ray.storage.remote import as_path


def _data_section(data: object) -> object:
    """The section of the data set that `dataset` names; without a name, of the embedded task."""
    if isinstance(data, DatasetSection):
        return data
    if not isinstance(data, dict):
        raise ValueError(f"expected keys and values, found {type(data).__name__}")
    try:
        section = DATASETS[data.get("dataset", "synthetic")]
    except ValueError as error:
        raise ValueError(f"data.dataset: {error}") from None
    try:
        return section.model_validate(data)
    except (ValidationError, KeyboardInterrupt):
        raise
    except BaseException as error:  # noqa: BLE001 (whatever the code of a user raises)
        raise ValueError(f"data.dataset {data.get('dataset')}: {named(error)}") from None


class Config(Section):
    """Everything that a run, or a sweep of runs, depends on."""

    seed: Seed = 0
    """Seed of the weights, the batches and the choices of a trial. `sweep.seeds` replaces it."""
    plugins: tuple[Plugin, ...] = ()
    """Modules or files that register parts, as `--plugin` does."""
    data: Annotated[SerializeAsAny[DatasetSection], BeforeValidator(_data_section)] = Field(
        default_factory=lambda: DATASETS["synthetic"]()
    )
    # These two look names up in modules that import this one.
    model: ModelConfig = Field(default_factory=ModelConfig)
    training: TrainingConfig = TrainingConfig()
    strategy: StrategyConfig = Field(default_factory=StrategyConfig)
    stopping: StoppingConfig = StoppingConfig()
    oracle: OracleConfig = OracleConfig()
    sweep: SweepConfig = SweepConfig()
    cluster: ClusterConfig = ClusterConfig()
    tracking: TrackingConfig = TrackingConfig()

    @model_validator(mode="after")
    def _source_free_has_a_start(self) -> Self:
        has_warmup = self.training.warmup_steps > 0
        if self.training.source_free and (self.model.init_from if has_warmup else not self.model.is_trained):
            raise ValueError(
                "training.source_free starts either from model.init_from, the checkpoint of a source-only model, "
                "or from pretrained weights of the network, with training.warmup_steps=0, "
                "or from a warm-up on the source, without model.init_from"
            )
        return self

    @model_validator(mode="after")
    def _regions_have_a_shape(self) -> Self:
        shape = self.strategy.shape
        if shape != "sliding" and "pixel" in (self.sweep.modes or (self.strategy.mode,)):
            raise ValueError(f"strategy.shape {shape}: mode pixel buys single pixels, which have no shape but sliding")
        return self

    @model_validator(mode="after")
    def _people_can_answer(self) -> Self:
        is_human = self.oracle.kind == "human"
        if self.data.asks_people != is_human:
            object.__setattr__(self, "data", self.data.asking(is_human))
        if not is_human:
            return self
        if {*REFERENCES} & {self.strategy.acquisition, *self.sweep.acquisitions}:
            raise ValueError("oracle.kind human: the references source_only and full ask nothing")
        if self.strategy.parity:
            raise ValueError("oracle.kind human: strategy.parity counts regions by round, so it allows no late answers")
        return self

    @property
    def answer(self) -> Answer:
        """The kind of answer that training gets. For a single pixel all kinds are equal; `full` has masks."""
        is_mask = self.strategy.mode == "pixel" or self.strategy.is_reference
        return "mask" if is_mask else self.oracle.answer

    @property
    def opens_source(self) -> bool:
        """Whether anything, a warm-up at least, trains on the source."""
        return not self.training.source_free or self.training.warmup_steps > 0

    def round_steps(self, round_index: int) -> int:
        """Optimiser updates of a round, 0-based."""
        training = self.training
        is_last = round_index == self.strategy.rounds - 1
        return training.last_round_steps or training.round_steps if is_last else training.round_steps

    def num_round_steps(self) -> int:
        """Optimiser updates of all rounds of a trial."""
        return sum(map(self.round_steps, range(self.strategy.rounds)))

    @model_validator(mode="after")
    def _batches_reach_every_worker(self) -> Self:
        smallest = min(self.training.source_batch, self.training.target_batch)
        if self.cluster.train_workers > smallest:
            raise ValueError(
                f"cluster.train_workers is {self.cluster.train_workers}: expected at most {smallest}, the smaller of "
                "training.source_batch and training.target_batch, so that every worker has an image"
            )
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Plug-ins travel to another process with the configuration, and run before it is validated there."""
        return _restore, (to_tree(self), read_sources(self.plugins), program_parts())


Overrides = Mapping[str, Any]


def _restore(tree: dict[str, Any], sources: dict[str, str], parts: list[tuple[str, str, Any]]) -> Config:
    run_plugins([Plugin.model_validate(plugin) for plugin in tree.get("plugins", ())], sources)
    add_program_parts(parts)
    return Config.model_validate(tree)


def load_config(
    file: str | Path | None = None,
    settings: Sequence[str] = (),
    flags: Overrides | None = None,
    runs_plugins: bool = True,
    demo: bool = False,
) -> Config:
    """Read and check a configuration, and make its paths absolute.

    A relative path starts from the folder of `file` where it stands in `file`, and from the working directory where it
    is given by `settings` or `flags`. `~` and `$VARIABLE` are expanded; URLs stay as they are.

    Args:
        file: YAML file of (part of) a `Config`; None for the defaults.
        settings: `key=value` texts, keys dotted, values in YAML ("training.round_steps=20").
        flags: dotted key -> value; a value of None is passed over.
        runs_plugins: False for a configuration of a run folder: its plug-ins are known by name and not run.
        demo: without `file`, start from the demo's settings instead of the defaults.

    Returns:
        The checked configuration.

    Raises:
        ConfigError: one line that names the file or key and what was expected.
    """
    file = None if file is None else as_path(file)
    texts = as_texts("settings", settings)
    tree, typed = merge_sources(Config, file, texts, as_keyed("flags", flags or {}), demo and not file)
    _refuse_credentials(tree, file)
    # What comes through a pipe has no folder of its own.
    own_folder = None if not file or file.is_relative_to("/dev") else file.parent
    folders = [*([own_folder] if own_folder else []), Path.cwd()]

    def folder_of(place: str) -> Path:
        is_typed = any(f"{place}.".startswith(f"{key}.") for key in typed)
        return own_folder if own_folder and not is_typed else Path.cwd()

    if not runs_plugins:
        for plugin in _validate({"plugins": tree.get("plugins", ())}, file).plugins:
            declare_plugin(plugin)
    elif "plugins" in tree:
        tree["plugins"] = resolve_plugins(tree["plugins"], folders, is_piped=file is not None and not own_folder)
    config: Config = anchor(_validate(tree, file), folder_of)
    if runs_plugins:
        config = _with_program(_with_factories(config, folders))
    return _anchor_varied(config, folder_of("sweep.vary"))


def _refuse_credentials(tree: Mapping[str, Any], file: Path | None) -> None:
    if place := find_credentials(tree):
        where = f"{file}: {place}" if file else place
        raise ConfigError(
            f"{where}: a URL with a password, token or signature would be written into every run folder and log: "
            "download the content, and name the file"
        )


def _with_program(config: Config) -> Config:
    """The configuration with a plug-in for the parts of it that the program registered itself."""
    own = program_plugin({value for _, value in walk(to_tree(config)) if isinstance(value, str)})
    return config.model_copy(update={"plugins": (*config.plugins, own)}) if own else config


def _with_factories(config: Config, folders: Sequence[Path]) -> Config:
    """The configuration with a plug-in for each module of `model.factory` that is a file in one of these folders."""
    factories = (config.model.factory, *config.sweep.vary.get("model.factory", ()))
    names = dict.fromkeys(str(factory).partition(":")[0] for factory in factories if factory)
    known = {plugin.name for plugin in config.plugins}
    files = {name: Path(*name.split(".")).with_suffix(".py") for name in names}
    found = [name for name, file in files.items() if name not in known and find_file(file, folders)]
    if not found:
        return config
    plugins = map(Plugin.model_validate, resolve_plugins(found, folders, is_piped=False))
    return config.model_copy(update={"plugins": (*config.plugins, *plugins)})


def _anchor_varied(config: Config, folder: Path) -> Config:
    """The configuration with absolute paths among the values of `sweep.vary`."""
    varied = config.sweep.vary
    if not varied:
        return config
    anchored = {}
    for key, values in varied.items():
        anchored[key] = list(values)
        for index, value in enumerate(values):
            if not isinstance(value, str | dict | list):
                continue  # no path, so no need to validate the whole configuration with it
            try:
                # Other keys need a value, too: some settings are right only together.
                part = attrgetter(key)(
                    vary(config, {name: listed[0] for name, listed in varied.items()} | {key: value})
                )
            except (ConfigError, AttributeError):
                continue  # `expand` says what is wrong with it
            anchored[key][index] = copy_paths(value, anchor(part, lambda place: folder))
    sweep = config.sweep.model_copy(update={"vary": {key: tuple(values) for key, values in anchored.items()}})
    return config.model_copy(update={"sweep": sweep})


def override(config: Config, values: Overrides) -> Config:
    """The configuration with other values at some dotted keys, checked again. Raises ConfigError: one line."""
    tree = to_tree(config)
    for key, value in as_keyed("values", values).items():
        put(tree, key, value, origin=key)
    return _validate(tree, None)


def vary(config: Config, values: Overrides) -> Config:
    """The configuration with other values at some dotted keys, checked again. Raises ConfigError: names the keys."""
    try:
        return override(config, values)
    except ConfigError as error:
        named = ", ".join(f"{key}={value}" for key, value in values.items())
        raise ConfigError(f"sweep.vary {named}: {error}") from None


def _validate(tree: dict[str, Any], file: Path | None) -> Config:
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(one_line(error, tree, file, Config)) from None

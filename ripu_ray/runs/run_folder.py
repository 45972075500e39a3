"""The files of a run: folders of the sweep, its warm-ups and its trials.

    <run>/config.yaml, environment.json, data.json    written before the start
    <run>/plugins/<name>.py                     source of each plug-in that is not an installed module
    <run>/warmups/<key>/                        record of round -1 and weights, shared by trials
    <run>/trials/<trial_id>/finished.json        number of rounds, and the reason of an early stop
    <run>/trials/<trial_id>/round_NN/            purchase.parquet, purchase.json, classes.json,
                                                 weights.pt, seconds.json, confusion.json, record.json
    <run>/trials/<trial_id>/questions, answers   with people as the oracle: a ledger of questions, and their answers

A round is committed when its `record.json` exists.
"""

import itertools
from functools import cached_property
from pathlib import Path

from ripu_ray.config import Config, ModelConfig, dump_config, load_config
from ripu_ray.config.plugins import PROGRAM, Plugin, has_changed, program_parts, read_sources, run_plugins
from ripu_ray.config.registry import NETWORKS
from ripu_ray.errors import RunFolderError, first_line
from ripu_ray.runs.claims import LONGEST_NAME, PLUGINS, check_new
from ripu_ray.runs.data_seal import DataSeal, read_seal
from ripu_ray.runs.environment import ENVIRONMENT, write_environment
from ripu_ray.runs.event_log import EventLog, ignore_progress, log_path
from ripu_ray.runs.grid import Trial, expand, recipe, warmup_key
from ripu_ray.runs.interrupt import StopRequest
from ripu_ray.runs.stages import StageFolder, TrialFolder
from ripu_ray.storage.checksums import check_yaml, read_json, write_yaml
from ripu_ray.storage.files import find_unsafe_path, remove_leftovers, replace_text
from ripu_ray.storage.remote import as_path

# W&B's own folder contains links to logs elsewhere; this package does not follow them.
_OWN = (
    *("*", "plugins/*", "trials/*", "trials/*/*", "trials/*/round_*/*", "warmups/*", "warmups/*/*"),
    *("trials/*/questions/*", "trials/*/questions/*/*", "trials/*/answers/*"),
)


class RunFolder:
    """The folder of a sweep.

    Args:
        path: its last part is the sweep's name.

    Raises:
        RunFolderError: it contains no run, or links that lead out of it, or an altered configuration or environment.
    """

    def __init__(self, path: str | Path) -> None:
        path = as_path(path)
        # The last part is a name, so it is not `..`.
        self.path = path.resolve() if ".." in path.parts else path.absolute()
        self._config_path, environment_path = self.path / "config.yaml", self.path / ENVIRONMENT
        if not self._config_path.exists():
            raise RunFolderError(f"{path}: not a run folder (it has no config.yaml)")
        if unsafe := find_unsafe_path(self.path, _OWN):
            raise RunFolderError(f"{unsafe}: leads out of the run folder, or is neither a file nor a folder")
        check_yaml(self._config_path)
        if environment_path.exists():
            read_json(environment_path)

    @classmethod
    def find(cls, path: Path, config: Config) -> "RunFolder | None":
        """The run of this configuration in a folder, or None if it can be created there. Nothing is touched.

        Raises:
            RunFolderError: the folder contains another sweep or other files, or cannot be created.
        """
        if not (path / "config.yaml").exists():
            check_new(path)
            return None
        run = cls(path)
        for plugin in run.config.plugins:
            if any(plugin.name == other.name and plugin.sha256 != other.sha256 for other in config.plugins):
                raise RunFolderError(f"{path}: {_changed(plugin)}")
        if recipe(run.config) != recipe(config):
            raise RunFolderError(f"{path}: holds another sweep; choose another --name or --output")
        return run

    @classmethod
    def create(cls, path: Path, config: Config, seal: DataSeal = DataSeal()) -> "RunFolder":  # noqa: B008 (frozen)
        """Write the configuration and environment of a run, or open the run if it has the same configuration.

        Args:
            path: of the folder.
            config: of the sweep.
            seal: result of `check_trials`; if it is empty, a change of the data is not detected.

        Raises:
            RunFolderError: see `find`.
            DataError: the data changed since the run was started; names the first differences.
            StorageError: the folder cannot be written.
        """
        run = cls.find(path, config)
        if run and run.config != config:
            write_yaml(path / "config.yaml", dump_config(config))
            run = cls(path)
        if run:
            if run.seal and seal:
                run.seal.check(seal, path)
                if seal != run.seal:  # the same data, with the times of a later reading
                    seal.write(path)
            return run
        write_environment(path, expand(config))
        for name, source in read_sources(config.plugins).items():
            replace_text(path / PLUGINS / f"{name}.py", source)
        seal.write(path)
        write_yaml(path / "config.yaml", dump_config(config))
        return cls(path)

    def run_plugins(self) -> None:
        """Run the plug-ins of the run, to resume it. Reading a run folder does not need this.

        Raises:
            RunFolderError: the file of a plug-in has changed since the run was started.
            ConfigError: an installed module is missing or has changed.
        """
        sources = {}
        for plugin in self.config.plugins:
            if has_changed(plugin):
                raise RunFolderError(f"{self.path}: {_changed(plugin)}")
            if plugin.name == PROGRAM:
                self._check_program(plugin)
            elif not plugin.installed:
                sources[plugin.name] = self._source(plugin)
        run_plugins(self.config.plugins, sources)
        del self.config  # it was read with stand-ins for what the plug-ins register

    def run_plugins_of(self, model: ModelConfig) -> None:
        """Run the plug-ins if one of them makes this network, to use its weights. Errors: see `run_plugins`."""
        own = {name for plugin in self.config.plugins for name in plugin.provides.get(NETWORKS.key, ())}
        if model.name in own or (model.factory and self.config.plugins):
            self.run_plugins()

    def _source(self, plugin: Plugin) -> str:
        file = self.path / PLUGINS / f"{plugin.name}.py"
        try:
            return file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RunFolderError(f"{file}: cannot be read ({first_line(error)})") from None

    def _check_program(self, plugin: Plugin) -> None:
        there = {name for _, name, _ in program_parts()}
        if missing := [name for names in plugin.provides.values() for name in names if name not in there]:
            raise RunFolderError(
                f"{self.path}: {', '.join(missing)} was registered by the program {plugin.file}: resume the run from it"
            )

    @property
    def log(self) -> Path:
        """The event log of the run as a whole."""
        return log_path(self.path)

    def warn(self, line: str) -> None:
        """Write a line about the run as a whole to its event log. Raises StorageError."""
        EventLog(self.path, "", ignore_progress).warn(line)

    @property
    def stop(self) -> StopRequest:
        """The stop request of this run."""
        return StopRequest.of(self.path)

    def tidy(self) -> None:
        """Remove temporary files and useless mid-phase checkpoints of killed processes. No process may be at work."""
        remove_leftovers(self.path)
        for partial in (*self.path.glob("warmups/*/partial.pt"), *self.path.glob("trials/*/round_*/partial.pt")):
            if StageFolder(partial.parent).is_committed():
                partial.unlink()

    @property
    def name(self) -> str:
        """The sweep's name."""
        return self.path.name

    @cached_property
    def token(self) -> str:
        """Random hex digits that no other run has; empty where environment.json is missing."""
        path = self.path / ENVIRONMENT
        return str(read_json(path).get("token", "")) if path.exists() else ""

    @cached_property
    def config(self) -> Config:
        """The resolved configuration."""
        return load_config(self._config_path, runs_plugins=False)

    @cached_property
    def seal(self) -> DataSeal:
        """The data that the run was started with; empty if they are drawn, or were not checked."""
        return read_seal(self.path)

    def warmup_key(self, config: Config) -> str:
        """The key of the warm-up of a trial of this run."""
        return warmup_key(config, self.seal.digest(config))

    @cached_property
    def trials(self) -> dict[str, Trial]:
        """Every trial of the grid by its id, in order."""
        return {trial.trial_id: trial for trial in expand(self.config)}

    @cached_property
    def warmups(self) -> dict[str, Config]:
        """The distinct warm-ups: key -> configuration of a trial that uses it."""
        return {self.warmup_key(trial.config): trial.config for trial in reversed(self.trials.values())}

    def trial(self, trial_id: str) -> "TrialFolder":
        """The folder of one trial."""
        return TrialFolder(self._part("trials", trial_id))

    def is_finished(self, trial_id: str) -> bool:
        """Whether the marker of a trial and the rounds that it counts are committed."""
        folder = self.trial(trial_id)
        ending = folder.ending()
        return ending is not None and ending.rounds == folder.num_committed()

    def is_done(self, name: str) -> bool:
        """Whether a trial or a warm-up is complete."""
        return self.is_finished(name) if name in self.trials else self.warmup(name).is_committed()

    def is_complete(self) -> bool:
        """Whether all warm-ups and trials are complete."""
        return all(map(self.is_done, (*self.warmups, *self.trials)))

    def startable(self) -> list[str]:
        """Trials that are not finished, and whose warm-up is committed."""
        trials = [trial for trial in self.trials.values() if not self.is_finished(trial.trial_id)]
        return [trial.trial_id for trial in trials if self.is_done(self.warmup_key(trial.config))]

    def warmup(self, key: str) -> "StageFolder":
        """The folder of one warm-up."""
        return StageFolder(self._part("warmups", key))

    def heartbeat(self, name: str) -> Path:
        """The heartbeat file of the process of a trial or warm-up."""
        return (self.trial(name).path if name in self.trials else self.warmup(name).path) / "at.json"

    def _part(self, kind: str, name: str) -> Path:
        is_name = isinstance(name, str) and name.isprintable() and len(name.encode(errors="replace")) <= 255
        if name in ("", ".", "..") or not is_name or Path(name).name != name:
            raise RunFolderError(f"{self.path / kind}: {name!r} is not the name of a folder in it")
        return self.path / kind / name


def folder_for_changed_data(path: Path, config: Config, seal: DataSeal) -> Path:
    """The folder `<path>-data2`, or 3 and so on, in which a run can be started with these data, or resumed.

    Folders with other files, other sweeps or other data are passed over. A long name is cut.

    Raises:
        RunFolderError: no folder can be created there, or a run of such a name is damaged.
    """
    for number in itertools.count(2):
        end = f"-data{number}"
        folder = path.with_name(path.name[: LONGEST_NAME - len(end)] + end)
        if (folder / "config.yaml").exists():
            run = RunFolder(folder)
            if recipe(run.config) != recipe(config) or not run.seal.is_of(seal):
                continue
        elif folder.exists() or folder.is_symlink():
            try:
                check_new(folder)
            except RunFolderError:
                continue
        RunFolder.find(folder, config)
        break
    return folder


def _changed(plugin: Plugin) -> str:
    # Parts that a program or an installed package registered have no file of their own here.
    own = ", ".join(name for names in plugin.provides.values() for name in names)
    place = f"the source of {own}, in {plugin.file} or an installed package,"
    what = place if plugin.name == PROGRAM else f"plug-in {plugin.name}: {plugin.file}"
    return f"{what} has changed since the run was started; restore it, or start a new run"

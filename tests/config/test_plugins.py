"""Plug-ins: where they are looked up, what a wrong one says, how they reach other processes, and when they are run."""

import functools
import json
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

import ripu_ray as ripu
from ripu_ray.config import Config, StoppingConfig, dump_config, load_config
from ripu_ray.config.plugins import has_changed, program_parts
from ripu_ray.config.registry import ACQUISITIONS, DATASETS, NETWORKS, REGISTRIES, Registry, wrapped
from ripu_ray.core.acquisition import Query, acquisition
from ripu_ray.core.prediction import PixelMaps
from ripu_ray.core.purchase import score_image
from ripu_ray.core.randomness import generator
from ripu_ray.core.regions import Windows
from ripu_ray.errors import ConfigError, RunFolderError, ScoreError
from ripu_ray.models.networks import build_network
from ripu_ray.runs.grid import expand
from ripu_ray.runs.record import RoundRecord
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.simulation.export import export_weights
from ripu_ray.simulation.preflight import check_trials
from ripu_ray.simulation.stopping import make_rule, stopping_rule
from tests.conftest import TINY
from tests.running import run_all
from tests.tracking.records import RECORD

SCORE = """
from pathlib import Path
from ripu_ray import acquisition

with Path({marker!r}).open("a") as file:
    file.write("run ")

@acquisition({name!r})
def score(maps, query):
    return query.mean(maps.entropy_HW * {factor})
"""


@pytest.fixture(autouse=True)
def _only_own_parts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every test has the parts of the package and registers its own."""
    for registry in REGISTRIES.values():
        registry.names()
        monkeypatch.setattr(registry, "_parts", dict(registry._parts))
        monkeypatch.setattr(registry, "_owners", dict(registry._owners))
    monkeypatch.setattr("ripu_ray.config.plugins._loaded", {})
    yield
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)
    torch.set_grad_enabled(True)


class Unprintable(BaseException):
    def __str__(self) -> str:
        raise ValueError


def _write(folder: Path, name: str, factor: int = 1, module: str = "mine") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{module}.py"
    file.write_text(SCORE.format(marker=str(folder / "ran"), name=name, factor=factor))
    return file


def test_the_file_beside_the_configuration_comes_before_that_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside, here = _write(tmp_path / "configs", "beside"), _write(tmp_path / "here", "here")
    yaml = tmp_path / "configs/c.yaml"
    yaml.write_text("plugins: [mine]\nstrategy: {acquisition: beside}\n")
    monkeypatch.chdir(here.parent)
    assert load_config(yaml).plugins[0].file == str(beside)
    (plugin,) = load_config(None, ["strategy.acquisition=here"], {"plugins": ["mine"]}).plugins
    assert plugin.file == str(here)
    assert plugin.provides == {"acquisitions": ("here",)}
    assert "beside" not in ACQUISITIONS.names()  # the other one of this name was replaced
    (plugin,) = load_config(None, (), {"plugins": [str(beside)]}).plugins
    assert plugin.file == str(beside)
    package = tmp_path / "package"
    package.mkdir()
    (package / "part.py").write_text("import package.other")
    monkeypatch.chdir(tmp_path)
    for name, says in (("package", "found a folder, expected one file"), ("package.part", "a plug-in is one file")):
        with pytest.raises(ConfigError, match=says):
            load_config(None, (), {"plugins": [name]})
    # An installed module is imported by its name, and every node has to have it.
    (plugin,) = load_config(None, ["plugins=[json.tool]"]).plugins
    assert plugin.installed
    assert "json.tool" in sys.modules


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("x = (", "mine.py, line 1: SyntaxError"),
        (
            "\nimport helper_beside_it",
            "mine.py, line 2: ModuleNotFoundError: No module named 'helper_beside_it'; a plug-in is",
        ),
        ("raise SystemExit(3)", "mine.py, line 1: SystemExit"),
        ("1 / 0", "line 1: ZeroDivisionError: division by zero"),
        (
            "from .other import x",
            "ImportError: attempted relative import with no known parent package; a plug-in is one file",
        ),
        ("import ripu_ray\nripu_ray.acquisition('ripu')(print)", "the name is taken by ripu_ray.core.acquisition.ripu"),
        ("import ripu_ray\nripu_ray.acquisition('mine')(3)", "mine: expected a function, found 3"),
        ("import ripu_ray\nripu_ray.acquisition(print)", "expected lower-case"),
        (
            "import ripu_ray\nripu_ray.acquisition('mine', needs='dropout')(print)",
            "needs: expected a list of bought, dropout",
        ),
        ("import ripu_ray\nripu_ray.acquisition('mine', needs=3)", "needs: expected a list of bought"),
        ("import ripu_ray\nripu_ray.acquisition('mine', class_share='x')", "a number from 0 to 1, found 'x'"),
        ("import ripu_ray\nripu_ray.acquisition('full')(print)", "full: the name has a meaning of its own"),
        ("import ripu_ray\nripu_ray.network('mine', gives=['feature'])(print)", "gives: expected a list of features"),
        ("import ripu_ray\nripu_ray.network('mine', package=3)(print)", "package: expected a text, found 3"),
        (
            "import ripu_ray\nfor _ in range(2): ripu_ray.acquisition('mine')(lambda maps, query: None)",
            "taken by mine.<l",
        ),
        ("import torch\ntorch.set_default_dtype(torch.float64)", "afterwards: torch has default type torch.float64, "),
        ("import torch\ntorch.set_default_device('meta')", "default device meta, "),
        ("import torch\ntorch.set_grad_enabled(False)", "gradients off: expected default type torch.float32, "),
        ("raise BaseException", "mine.py, line 1: BaseException"),
        ("import ripu_ray\nripu_ray.network('mine')(None)", "mine: expected a function, found None"),
        ("import ripu_ray\nripu_ray.dataset('mine')(print)", "mine: expected a subclass of DatasetSection"),
        ("import ripu_ray\nripu_ray.stopping_rule('mine')(print)", "mine: expected a class with a method should_stop"),
        ("import ripu_ray\nripu_ray.network('Mine')(print)", "lower-case"),
        ("x" * 1_000_001, "at most 1000000 bytes"),
        ("# \xff", "cannot be read"),
    ],
)
def test_a_plugin_that_fails_is_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, says: str
) -> None:
    (tmp_path / "mine.py").write_bytes(source.encode("latin-1"))
    (tmp_path / "helper_beside_it.py").touch()
    monkeypatch.chdir(tmp_path)
    before = ACQUISITIONS.names()
    with pytest.raises(ConfigError, match="plug-in mine") as error:
        load_config(None, (), {"plugins": ["mine"]})
    assert says in str(error.value)
    assert ACQUISITIONS.names() == before


@pytest.mark.parametrize(
    ("plugins", "says"),
    [
        (["absent"], "no file absent.py in"),
        (["a/absent.py"], "no file a/absent.py in"),
        (["$NO_SUCH/absent.py"], r"the environment variable \$NO_SUCH is not set"),
        (["no-name"], "expected the name of a module"),
        ([""], "expected the name of a module"),
        ([3], "expected names of modules"),
        ([{"name": "x"}], "expected names of modules"),
        ([{"name": "x", "sha256": "0", "file": "x.py", "source": "1 / 0"}], "no file x.py"),
    ],
)
def test_wrong_names_are_one_line(plugins: object, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load_config(None, (), {"plugins": plugins})


def _elsewhere(code: str, stdin: bytes, cwd: Path) -> str:
    done = subprocess.run([sys.executable, "-c", code], input=stdin, cwd=cwd, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


def test_the_source_travels_with_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(tmp_path / "here", "mine")
    monkeypatch.chdir(tmp_path / "here")
    config = load_config(None, ["strategy.acquisition=mine"], {"plugins": ["mine"]})
    (tmp_path / "here/mine.py").unlink()
    names = "from ripu_ray.config.registry import ACQUISITIONS; print('mine' in ACQUISITIONS.names())"
    unpickle = f"import pickle, sys; c = pickle.load(sys.stdin.buffer); assert c.plugins[0].name == 'mine'; {names}"
    assert _elsewhere(unpickle, pickle.dumps(config), tmp_path) == "True"
    # A submitted job reads its configuration through a pipe, source included. A file that holds a source is not run.
    text = dump_config(config, with_sources=True)
    read = "from pathlib import Path; from ripu_ray.config import load_config; load_config(Path('/dev/stdin'))"
    assert _elsewhere(f"{read}; {names}", text.encode(), tmp_path) == "True"
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"no file mine\.py"):
        load_config(tmp_path / "c.yaml")


def test_a_run_folder_is_read_without_its_plugin_and_resumed_with_the_same_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, marker = _write(tmp_path / "here", "mine"), tmp_path / "here/ran"
    monkeypatch.chdir(tmp_path / "here")

    def load() -> Config:
        return load_config(None, ["strategy.acquisition=mine"], {"plugins": ["mine"]})

    run = RunFolder.create(tmp_path / "run", load())
    assert (run.path / "plugins/mine.py").read_text() == file.read_text()
    code = "from pathlib import Path; from ripu_ray.runs.run_folder import RunFolder"
    read = f"{code}; run = RunFolder(Path({str(run.path)!r}))"
    shown = _elsewhere(f"{read}; print(run.config.strategy.acquisition)", b"", tmp_path)
    assert (shown, marker.read_text()) == ("mine", "run ")
    _elsewhere(f"{read}; run.run_plugins(); run.config", b"", tmp_path)
    assert marker.read_text() == "run run "
    _write(tmp_path / "here", "mine", factor=2)
    with pytest.raises(RunFolderError, match=r"plug-in mine: .*mine\.py has changed since the run was started"):
        run.run_plugins()
    with pytest.raises(RunFolderError, match=r"plug-in mine: .*mine\.py has changed since the run was started"):
        RunFolder.create(run.path, load())
    (run.path / "plugins/mine.py").write_text("1 / 0")
    file.unlink()
    with pytest.raises(ConfigError, match="another source"):
        _forget(run).run_plugins()


def _forget(run: RunFolder) -> RunFolder:
    from ripu_ray.config import plugins

    plugins._loaded.clear()
    return RunFolder(run.path)


def test_an_entry_point_is_a_part_and_a_broken_one_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "scores-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: scores\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[ripu_ray.acquisitions]\nfrom_package = scores:score\nbroken = scores:absent\n"
        "[ripu_ray.networks]\nnet = scores:net\nbroken = absent:net\n[ripu_ray.datasets]\nwrong = scores:score\n"
    )
    (tmp_path / "scores.py").write_text("def score(maps, query): return maps.entropy_HW\ndef net(model, c): return c\n")
    monkeypatch.syspath_prepend(tmp_path)
    for key, name in (("acquisitions", "from_package"), ("networks", "net")):
        registry = Registry("part", key, REGISTRIES[key]._module)
        registry.adapt = REGISTRIES[key].adapt
        assert name in registry.names()
        part = registry[name]
        assert wrapped(part).__module__ == "scores"
    acquisitions = Registry("acquisition function", "acquisitions", "ripu_ray.core.acquisition")
    with pytest.raises(ValueError, match="acquisition function broken: scores:absent of scores cannot be loaded"):
        acquisitions.check("broken")
    for registry in (NETWORKS, DATASETS):
        for attribute in ("_parts", "_owners"):
            monkeypatch.setattr(registry, attribute, dict(getattr(registry, attribute)))
        monkeypatch.setattr(registry, "_entry_points", None)
    # A broken one is in the way of nothing else.
    with pytest.raises(ConfigError, match="`compact` has no head to choose; choose name backbone"):
        load_config(None, ["model.head=aspp"])
    assert "data.dataset" in ripu.setting_keys()
    with pytest.raises(ConfigError, match="data set wrong: scores:score of scores cannot be loaded"):
        load_config(None, ["data.dataset=wrong", "data.size=[8, 8]"])


def _in_doubles() -> torch.Tensor:
    torch.set_default_dtype(torch.float64)
    return torch.zeros(8, 12)


@pytest.mark.parametrize(
    ("returned", "says"),
    [
        (None, "found NoneType"),
        (torch.zeros(3, 4), r"found shape \(3, 4\)"),
        (torch.zeros(8, 12, dtype=torch.int64), "found torch.int64"),
        (torch.full((8, 12), torch.nan), "found 96 NaN"),
        (torch.full((8, 12), 1e300, dtype=torch.float64), "all finite, found 0 NaN and 96 infinite"),
        (torch.zeros(8, 12).to_sparse(), "found torch.float32, torch.sparse_coo"),
        (torch.zeros(8, 12, device="meta"), "failed: .*meta"),
        (
            _in_doubles,
            "failed: torch has default type torch.float64",
        ),
        (ZeroDivisionError("division"), "failed: ZeroDivisionError: division"),
        (SystemExit("end"), "failed: SystemExit: end"),
        (Unprintable(), "failed: Unprintable$"),
    ],
)
def test_a_wrong_score_is_named(returned: object, says: str) -> None:
    def wrong(maps: object, query: object) -> object:
        if isinstance(returned, BaseException):
            raise returned
        return returned() if callable(returned) else returned

    acquisition("wrong")(wrong)  # type: ignore[arg-type]
    query = Query(Windows((8, 12), "region", 1), "region", False, generator(0, "acquisition", 0, "image"))
    with pytest.raises(ScoreError, match=f"acquisition wrong.*{says}"):
        score_image(torch.randn(3, 4, 6), (8, 12), "wrong", query)


@pytest.mark.parametrize(
    ("score", "says"),
    [
        ("query.mean(maps.entropi_HW)", " failed: .*mine.py, line 5: AttributeError: .* no attribute 'entropi_HW'$"),
        ("maps.entropy_HW[1:]", r": expected a float32 tensor of shape \(32, 48\), all finite, found shape \(31"),
    ],
)
def test_a_faulty_function_of_a_plugin_is_refused_before_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, score: str, says: str
) -> None:
    (tmp_path / "mine.py").write_text(
        f"import ripu_ray\n\n@ripu_ray.acquisition('mine')\ndef mine(maps, query):\n    return {score}\n"
    )
    monkeypatch.chdir(tmp_path)
    settings = [*TINY, "strategy.acquisition=mine"]
    num_threads = torch.get_num_threads()
    with pytest.raises(ConfigError, match=f"^strategy.acquisition mine{says}"):
        check_trials(expand(load_config(None, settings, {"plugins": ["mine"]})))
    assert torch.get_num_threads() == num_threads


@pytest.mark.parametrize(
    "change",
    [
        lambda maps: maps.entropy_HW.mul_(2),
        lambda maps: maps.entropy_HW.data.mul_(2),
        lambda maps: maps.predicted_HW.numpy().fill(7),
        lambda maps: maps.logits_Chw.numpy().fill(7),
    ],
    ids=["torch", "data", "numpy", "logits"],
)
def test_maps_that_are_changed_in_place_are_named(change: Callable[[PixelMaps], object]) -> None:
    """Other parts read the maps after the function."""

    @acquisition(f"inplace_{change.__code__.co_firstlineno}")
    def inplace(maps: PixelMaps, query: Query) -> torch.Tensor:
        change(maps)
        return maps.entropy_HW + 0

    name = f"inplace_{change.__code__.co_firstlineno}"
    query = Query(Windows((8, 12), "region", 1), "region", False, generator(0, "acquisition", 0, "image"))
    with pytest.raises(ScoreError, match=f"acquisition {name}: changed its maps in place, expected a new tensor"):
        score_image(torch.randn(3, 4, 6), (8, 12), name, query)


def test_a_preset_of_a_function_of_this_package_is_a_part_of_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is sent to the processes of Ray, and the run folder has its name and digest."""
    own = ACQUISITIONS["ripu"].function
    acquisition("drawn_ripu", power=2)(own)
    assert [name for _, name, _ in program_parts()] == ["drawn_ripu"]
    config = load_config(None, [*TINY, "strategy.acquisition=drawn_ripu"])
    sent = pickle.dumps(config)
    monkeypatch.delitem(ACQUISITIONS._parts, "drawn_ripu")
    assert pickle.loads(sent) == config  # noqa: S301 (our own)
    assert str(ACQUISITIONS["drawn_ripu"].power) == "2"
    (before,) = config.plugins
    monkeypatch.delitem(ACQUISITIONS._parts, "drawn_ripu")
    acquisition("drawn_ripu", power=3)(own)
    assert has_changed(before)


def test_the_preset_of_a_name_of_this_package_cannot_be_replaced() -> None:
    """The processes of Ray would have the one of this package."""
    with pytest.raises(ValueError, match=r"function ripu: the name is taken by ripu_ray\.core\.acquisition\.ripu$"):
        acquisition("ripu", power=1)(ACQUISITIONS["ripu"].function)
    assert ACQUISITIONS["ripu"].power is None


def test_a_function_that_is_wrapped_like_one_of_this_package_is_tried() -> None:
    own = ACQUISITIONS["ripu"].function
    acquisition("wrapped_ripu")(functools.wraps(own)(lambda maps, query: own(maps, query)[None]))
    assert [name for _, name, _ in program_parts()] == ["wrapped_ripu"]
    with pytest.raises(ConfigError, match=r"^strategy\.acquisition wrapped_ripu: expected a float32 tensor of shape"):
        check_trials(expand(load_config(None, [*TINY, "strategy.acquisition=wrapped_ripu"])))


def test_options_that_are_changed_in_place_stay_those_of_the_configuration() -> None:
    """They would be other ones for the next image, and in the run folder."""

    @acquisition("spoiling")
    def spoiling(maps: PixelMaps, query: Query, weights: list[int]) -> torch.Tensor:
        weights.append(1)
        query.options["more"] = 1  # type: ignore[index]
        return maps.entropy_HW * len(weights)

    class Popping:
        def __init__(self, stopping: StoppingConfig) -> None:
            stopping.options.pop("share")

        def should_stop(self, history: list[RoundRecord]) -> None:
            history[-1].losses.clear()

    stopping_rule("popping")(Popping)
    chosen = ["strategy.acquisition=spoiling", "strategy.options={weights: [1]}"]
    config = load_config(None, [*TINY, *chosen, "stopping.rule=popping", "stopping.options={share: 1}"])
    check_trials(expand(config))
    rule = make_rule(config.stopping)
    assert rule and rule.should_stop([RECORD]) is None
    assert RECORD.losses
    assert (config.strategy.options, config.stopping.options) == ({"weights": [1]}, {"share": 1})


def test_double_precision_scores_are_taken() -> None:
    acquisition("double")(lambda maps, query: maps.entropy_HW.double())
    query = Query(Windows((8, 12), "region", 1), "region", False, generator(0, "acquisition", 0, "image"))
    assert score_image(torch.randn(3, 4, 6), (8, 12), "double", query)[0].dtype == torch.float32


def test_counts_of_what_was_bought_are_zeros_before_a_run() -> None:
    acquisition("counted", needs=["bought"])(
        lambda maps, query: torch.tensor(query.bought_C)[maps.predicted_HW.long()] / 2
    )
    check_trials(expand(load_config(None, [*TINY, "strategy.acquisition=counted"])))
    assert not ripu.score_image(torch.randn(3, 4, 6), acquisition="counted").any()


def test_the_description_is_plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(tmp_path, "mine")
    monkeypatch.chdir(tmp_path)
    config = load_config(None, (), {"plugins": ["mine"]})
    assert json.loads(config.plugins[0].model_dump_json())["provides"] == {"acquisitions": ["mine"]}
    assert "entropy_HW" not in dump_config(config)


def test_the_module_of_a_factory_is_a_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own.py").write_text(
        "import os\nfrom torch import nn\nos.chdir('/')\n\ndef build(num_classes, width):\n    os.chdir('/')\n"
        "    return nn.Conv2d(3, num_classes, 3, padding=1)\n"
    )
    monkeypatch.chdir(tmp_path)
    settings = ["model.factory=own:build", "model.options.width=8"]
    config = load_config(None, settings)
    assert [plugin.name for plugin in config.plugins] == ["own"]
    build_network(config.model, 5, 0)
    assert Path.cwd() == tmp_path  # paths of the run are relative to it
    varied = load_config(None, [], {"sweep.vary": ["model.factory=own:build,json:loads"], "model.factory": "own:build"})
    assert [plugin.name for plugin in varied.plugins] == ["own"]  # json is not a file here
    (tmp_path / "own.py").unlink()
    build = "from ripu_ray.models.networks import build_network; print(build_network(c.model, 5, 0).model.out_channels)"
    unpickle = "import pickle, sys; c = pickle.load(sys.stdin.buffer)"
    assert _elsewhere(f"{unpickle}; {build}", pickle.dumps(config), tmp_path) == "5"


def test_weights_of_a_network_of_a_plugin_are_exported_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a process that has not run the plug-in, whose name and folder have letters of other scripts."""
    folder = tmp_path / "größe"
    folder.mkdir()
    (folder / "ünet.py").write_text(
        "import ripu_ray\nfrom torch import nn\n\n"
        "class Own(ripu_ray.Network):\n"
        "    def __init__(self, num_classes):\n"
        "        super().__init__()\n"
        "        self.body, self.head = nn.Conv2d(3, 4, 1), nn.Conv2d(4, num_classes, 1)\n"
        "    def forward(self, images):\n"
        "        return self.head(self.body(images))\n\n"
        "@ripu_ray.network('own')\n"
        "def own(model, num_classes):\n    return Own(num_classes)\n",
        encoding="utf-8",
    )
    monkeypatch.chdir(folder)
    settings = [*(setting for setting in TINY if "width" not in setting), "cluster.scorers=0", "model.name=own"]
    run = run_all(folder / "run", load_config(None, settings, {"plugins": ["./ünet.py"]}))
    export = "import ripu_ray; print(ripu_ray.export_weights('run', 'w.safetensors'))"
    assert _elsewhere(export, b"", folder) == "w.safetensors"
    (folder / "ünet.py").write_text("", encoding="utf-8")
    with pytest.raises(RunFolderError, match=r"plug-in ünet: .* has changed since the run was started"):
        export_weights(RunFolder(run.path))

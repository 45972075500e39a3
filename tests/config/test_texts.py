"""Values mean what was typed: texts and paths stay texts, and a section without values is its defaults."""

from pathlib import Path
from typing import Any

import pytest

from ripu_ray.config import Config, load_config
from ripu_ray.config.loading import Overrides
from ripu_ray.data.folder import FolderData
from ripu_ray.errors import ConfigError

FOLDER = ["data.dataset=folder", "data.root=/data"]
IN_ANY_PLACE = ["no", "on", "2016", "1e3", "0x10", "1:30", "2016-01-01", "Null.", ".5", "010"]
"""What YAML takes for a truth value, a number, a date, or a text."""
NOT_YAML = ["[a]", "{a}", "[x]/a", "#x", "a #b", "*x", "&x", "!x", "@x", "%x", "- a", "a: b", "|", "a,b"]


def _data(config: Config) -> FolderData:
    assert isinstance(config.data, FolderData)
    return config.data


@pytest.mark.parametrize("text", [*IN_ANY_PLACE, *NOT_YAML])
def test_a_text_or_path_is_the_text_that_was_typed(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = load_config(None, [*FOLDER, f"data.source={text}", f"data.root= {text}", f"model.init_from={text}"])
    assert (_data(config).source, _data(config).root) == (text, tmp_path / text)
    assert config.model.init_from == tmp_path / text
    if text in IN_ANY_PLACE:
        file = tmp_path / "c.yaml"
        file.write_text(f"data: {{dataset: folder, root: {text}, source: {text}}}")
        varied = {"sweep.vary": [f"data.target={text},other"]}
        config = load_config(file, flags=varied)
        assert (_data(config).source, _data(config).root) == (text, tmp_path / text)
        assert config.sweep.vary == {"data.target": (text, "other")}


@pytest.mark.parametrize(
    ("settings", "key", "value"),
    [
        (["data.source='no'"], "data.source", "no"),
        (["data.source=null"], "data.source", "null"),
        (["model.init_from=null"], "model.init_from", None),
        (["model.init_from=~"], "model.init_from", None),
        (["model.init_from='null'"], "model.init_from", Path.cwd() / "null"),
        (["cluster.address="], "cluster.address", None),
        (["cluster.scorers=3"], "cluster.scorers", 3),
        (["cluster.scorers=auto"], "cluster.scorers", "auto"),
        (["cluster.gpu=on"], "cluster.gpu", True),
        (["seed=2016"], "seed", 2016),
        (["training.round_steps=1e3"], "training.round_steps", 1000),
        (["training.round_steps=010"], "training.round_steps", 10),
        (["seed=0755"], "seed", 755),
        (["training.learning_rate=1e-3"], "training.learning_rate", 0.001),
        (["oracle.noise.flips=[[0.5, 0.5], [0, 1]]"], "oracle.noise.flips", ((0.5, 0.5), (0.0, 1.0))),
        (["strategy.power=null"], "strategy.power", None),
        (["sweep.seeds=0-4"], "sweep.seeds", (0, 1, 2, 3, 4)),
        (["sweep.seeds=[0..2, 7]"], "sweep.seeds", (0, 1, 2, 7)),
        (["training={round_steps: 3}", "training.warmup_steps=4"], "training.round_steps", 3),
        (["training=null", "training.warmup_steps=4"], "training.warmup_steps", 4),
        (["sweep.vary={strategy.power: [null, 1]}"], "sweep.vary", {"strategy.power": (None, 1)}),
    ],
)
def test_other_types_have_the_value_of_yaml(settings: list[str], key: str, value: object) -> None:
    found: Any = load_config(None, [*FOLDER, *settings])
    for name in key.split("."):
        found = getattr(found, name)
    assert (found, type(found)) == (value, type(value))


def test_an_empty_section_is_its_defaults(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    sections = [f"{name}:" for name in Config.model_fields if name != "seed"]
    file.write_text("\n".join(sections))
    assert load_config(file) == Config()
    file.write_text("strategy: {windows: }\noracle:\n  noise:\n  cost: null\nsweep:\n  budgets:\n  vary:\n")
    assert load_config(file) == Config()
    file.write_text("training:\n")
    assert load_config(file, ["training.round_steps=7"]).training.round_steps == 7


@pytest.mark.parametrize(
    ("settings", "flags", "says"),
    [
        (["sweep.seeds=4-0"], {}, "sweep.seeds: 4-0: expected a range of at most 10000 seeds, the smaller first"),
        (["sweep.seeds=0-99999999"], {}, "at most 10000 seeds"),
        ([], {"sweep.seeds": ["0-2", "1"]}, "sweep.seeds: 1 is there more than once"),
        ([], {"sweep.budgets": ["2", "2"]}, "2 is there more than once; the decimal sign is a point, as in 2.2"),
        (["strategy.budget=2,2"], {}, "strategy.budget: budget '2,2': expected per cent"),
        ([], {"sweep.budgets": ["0", "5"]}, "with a decimal point, such as 2.2"),
        (["seed=0-4"], {}, "seed: expected a number, found '0-4'"),
        (["training.round_steps=1..4"], {}, "training.round_steps: expected a number, found '1..4'"),
        (["strategy={budget: 2,2}"], {}, "strategy.2: unknown key"),
        (["model.backbone_weights=$NO_SUCH/w"], {}, "$NO_SUCH/w: the environment variable $NO_SUCH is not set"),
        (["strategy.acquisition=no"], {}, "unknown acquisition 'no': expected ripu, impurity"),
        (["tracking.wandb=off"], {}, "(found 'off')"),
        (["oracle.noise.flips=x"], {}, "oracle.noise.flips: expected a number, found 'x'"),
        (["tracking.images=yes"], {}, "tracking.images: expected a number, found True"),
        (["strategy.rounds=1e30"], {}, "strategy.rounds: expected a smaller whole number (found 1e+30)"),
        (["tracking.project=a/b"], {}, "tracking.project: expected text that matches "),
        (["tracking.log_every=1e10"], {}, "tracking.log_every: expected less than or equal to 1000000000"),
        (["oracle.cost.seconds_per_click=yes"], {}, "oracle.cost.seconds_per_click: expected a number, found True"),
        (["oracle.cost.seconds_per_boundary_pixel=1e308"], {}, "expected less than or equal to 1000000 (found"),
        (["data=3"], {}, "data: expected keys and values, found int"),
        (["training.round_steps=12:30"], {}, "training.round_steps: expected a number, found '12:30'"),
        (
            ["data.input_size=180x240"],
            {},
            "data.input_size: expected [height, width], such as [180, 240], found '180x240'",
        ),
        (["data.label_size=[9, 9, 3]"], {}, "data.label_size: expected [height, width], such as [180, 240], found [9"),
        (["trainig.round_steps=3"], {}, "trainig: unknown key: expected training"),
        (["trainin.round_steps=3"], {}, "trainin: unknown key: expected training"),
        (["a=3"], {}, "a: unknown key: expected seed, "),
        (["data.num_pol=3"], {}, "data.num_pol: unknown key: expected dataset, "),
        (["data={dataset: synthetic, num_pol: 3}"], {}, "data.num_pol: unknown key: expected num_pool"),
        (["oracle.noise.flip=0"], {}, "oracle.noise.flip: unknown key: expected flips"),
        (["training=3"], {}, "training: expected keys and values (found 3)"),
        (["sweep.modes=region"], {}, "sweep.modes: expected a list (found 'region')"),
        (["training.augmentation.scale=[1,2,3]"], {}, "scale: expected at most 2 values (found [1, 2, 3])"),
        (["seed="], {}, "seed: expected a valid integer (found None)"),
        (["data.source="], {}, "data.source: expected a valid string (found None)"),
    ],
)
def test_what_is_wrong_is_said_without_names_of_types(settings: list[str], flags: Overrides, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(None, [*FOLDER, *settings], flags)
    assert says in str(caught.value)
    assert not {"function", "pydantic", "class"} & set(str(caught.value).replace("-", " ").split())

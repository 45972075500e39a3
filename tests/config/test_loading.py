"""Where values come from, and what is refused."""

from fractions import Fraction
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ripu_ray.config import Budget, Config, Power, dump_config, load_config, override
from ripu_ray.data.cityscapes import CityscapesData
from ripu_ray.errors import ConfigError

CONFIGS = Path(__file__).parents[2] / "configs"


def test_what_runs_without_a_file_is_the_demo_and_a_file_starts_from_the_paper_s_strategy(tmp_path: Path) -> None:
    demo = load_config(CONFIGS / "demo.yaml")
    assert load_config(demo=True) == demo
    assert (demo.strategy.power, demo.sweep.acquisitions) == (Power.parse(1), ("ripu", "random", "source_only", "full"))
    changed = {"training.round_steps": 60, "strategy.power": None, "sweep.acquisitions": ()}
    assert override(demo, changed) == Config()
    (file := tmp_path / "c.yaml").write_text("seed: 0\n")
    assert load_config(file, demo=True) == load_config() == Config()
    for settings in (["strategy.acquisition=entropy"], ["oracle.kind=human"], ["sweep={seeds: [0]}"]):
        assert load_config(None, settings, demo=True).sweep.acquisitions == ()


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*.yaml")), ids=lambda file: file.stem)
def test_shipped_configurations_are_valid(file: Path) -> None:
    config = load_config(file)
    assert Config.model_validate(yaml.safe_load(dump_config(config))) == config


def test_file_then_set_then_flags(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("training: {round_steps: 11, warmup_steps: 12, source_batch: 3}\n")
    config = load_config(file, ["training.warmup_steps=22", "training.source_batch=2"], {"training.source_batch": 1})
    assert (config.training.round_steps, config.training.warmup_steps, config.training.source_batch) == (11, 22, 1)
    assert load_config(file, flags={"training.round_steps": None}).training.round_steps == 11


def test_config_is_frozen() -> None:
    with pytest.raises(ValidationError):
        Config().seed = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("strategy.budget=0", "strategy.budget: budget '0': expected per cent"),
        ("strategy.budget=101", "budget '101'"),
        ("strategy.budget=-1", "budget '-1'"),
        ("strategy.budget=nan", "budget 'nan'"),
        ("strategy.budget=1.5px", "budget '1.5px'"),
        ("strategy.budget=0px", "budget '0px'"),
        ("strategy.budget=lots", "budget 'lots'"),
        ("strategy.budget=٣", "budget '٣'"),
        ("strategy.power=٣", "power '٣'"),
        ("strategy.budget=1e999999999", "budget"),
        ("strategy.budget=1e-999999999", "budget"),
        ("strategy.budget=1e999999999px", "budget"),
        ("strategy.windows.region=4", "strategy.windows.region: window 4: expected an odd number"),
        ("strategy.windows.pixel=-1", "window -1"),
        ("strategy.mode=both", "strategy.mode: expected 'region' or 'pixel'"),
        ("strategy.acquisition=magic", "strategy.acquisition"),
        ("strategy.no_such=1", "strategy.no_such: unknown key"),
        ("no_such.key=1", "no_such: unknown key"),
        ("seed=one", "seed: "),
        ("seed=-1", "seed: "),
        ("seed.deeper=1", "seed: "),
        ("data.dataset=cityscope", "cityscope"),
        ("data.dataset=folder", "data.root"),
        ("training.learning_rate=.nan", "training.learning_rate"),
        ("training.learning_rate=.inf", "training.learning_rate"),
        ("sweep.seeds=[0, 1, 0]", "sweep.seeds: 0 is there more than once"),
        ("sweep.budgets=['2.2', '2.20']", "sweep.budgets: 2.2 is there more than once"),
        ("cluster.address=head", "cluster.address: expected auto, HOST:PORT, ray://"),
        ("cluster.address=head:port", "found 'head:port'"),
        ("cluster.train_workers=9", "cluster.train_workers is 9"),
        ("seed", "--set seed: expected key=value"),
        ("=1", "--set =1: expected key=value"),
        ("seed=[", "--set seed=[: '[' is not a YAML value"),
        ("a..b=1", "a"),
        ("data.size=[]", "data.size: expected [height, width]"),
        ("data.size=[64]", "data.size: expected [height, width]"),
    ],
)
def test_what_is_wrong_gets_one_line(setting: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(None, [setting])
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"seed: [", "not valid YAML at line"),
        (b"- 1", "expected keys and values, found list"),
        (b"\xff\xfe\x00", "not valid YAML"),
        (b"!!python/object/apply:os.system ['false']", "not valid YAML"),
        (b"strategy: {budget: 200}", "strategy.budget"),
        (b"model: {weights: 'https://user:word@host/w.pth'}", "model.weights: a URL with a password"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, content: bytes, says: str) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert str(file) in str(caught.value)
    assert says in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: cannot be read"):
        load_config(tmp_path / "nowhere.yaml")


@given(st.decimals(min_value="0.001", max_value=100, places=3))
def test_per_cent_is_exact(value: object) -> None:
    assert Budget.parse(str(value)).pixels(2048 * 1024) == Fraction(str(value)) * 2048 * 1024 / 100


def test_budgets_print_as_they_are_read() -> None:
    for text in ("2.2", "5", "40px", "100", "0.05"):
        assert str(Budget.parse(text)) == text
    assert Budget.parse("40px").pixels(10**6) == 40


@pytest.mark.parametrize("source", ["gtav", "synthia"])
def test_the_paper_s_recipe_is_in_its_configurations(source: str) -> None:
    config = load_config(CONFIGS / f"{source}_cityscapes.yaml")
    training, starts = config.training, [config.training.warmup_steps]
    for index in range(config.strategy.rounds):
        starts.append(starts[-1] + config.round_steps(index))
    assert starts == [10_000, 12_000, 14_000, 16_000, 18_000, 40_000]
    assert (training.schedule_steps, training.learning_rate, training.head_rate_factor) == (62_500, 2.5e-4, 10)
    assert (training.optimiser, training.momentum, training.weight_decay, training.power) == ("sgd", 0.9, 5e-4, 0.9)
    assert (training.source_batch, training.target_batch, training.source_sampling) == (2, 2, "rarity")
    assert (training.consistency_weight, training.negative_weight, training.negative_threshold) == (0.1, 1.0, 0.05)
    assert (config.strategy.windows.region, config.strategy.windows.pixel) == (3, 65)
    assert isinstance(config.data, CityscapesData)
    assert (config.data.source_input_size, config.data.input_size) == ((720, 1280), (640, 1280))


@pytest.mark.parametrize("key", ["a\x85b", "a\u2028b", "a\nb", "'\x85", "x" * 200])
def test_text_with_line_breaks_is_read_back(key: str) -> None:
    config = load_config(None, flags={"sweep.vary": [f"{key}=1"]})
    assert Config.model_validate(yaml.safe_load(dump_config(config))) == config

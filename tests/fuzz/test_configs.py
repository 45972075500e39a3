"""Configurations and class files: any tree, any text."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ripu_ray.config import Config, dump_config, load_config, to_tree
from ripu_ray.config.safe_yaml import read_yaml
from ripu_ray.data.labels import ClassTable, read_class_table
from ripu_ray.errors import ConfigError
from ripu_ray.runs.grid import expand
from tests.data.test_labels import GOOD
from tests.fuzz.cases import attempt, fuzzed, harms, scalars, trees


def _keys(tree: Any, place: str = "") -> list[str]:
    """Every dotted key of the configuration, sections included."""
    if not isinstance(tree, dict):
        return [place]
    inner = [key for name, value in tree.items() for key in _keys(value, f"{place}.{name}".lstrip("."))]
    return inner if not place else [place, *inner]


KEYS = _keys(to_tree(Config()))
keys = (
    st.sampled_from(KEYS) | st.text(max_size=12) | st.sampled_from(["data.root", "data.dataset", "a..b", ".", "seed.x"])
)
yaml_like = st.text(st.sampled_from("[]{}&*!<>|:,-?#%@`'\"\n\t 0123456789abxe._~=\\"), max_size=60)


def _check(config: Config | None) -> None:
    """What was accepted is written down and read back the same, and has trials or a line that says why not."""
    if config is None:
        return
    assert Config.model_validate(yaml.safe_load(dump_config(config))) == config
    trials = attempt(lambda: expand(config))
    if trials is not None:
        assert len({trial.trial_id for trial in trials}) == len(trials) > 0
        assert all(Path(trial.trial_id).name == trial.trial_id for trial in trials)


@fuzzed
@given(st.dictionaries(keys, trees, max_size=4))
def test_any_values_for_any_keys(values: dict[str, Any]) -> None:
    _check(attempt(lambda: load_config(None, flags=values)))


@fuzzed
@given(st.sampled_from(KEYS), trees)
def test_any_value_for_a_key_of_ours(key: str, value: Any) -> None:
    _check(attempt(lambda: load_config(None, flags={key: value})))


@fuzzed
@given(st.lists(st.builds("{}={}".format, keys, yaml_like | scalars.map(str)) | st.text(max_size=30), max_size=3))
def test_any_text_behind_set(settings: list[str]) -> None:
    _check(attempt(lambda: load_config(None, settings)))


@fuzzed
@given(st.lists(st.builds("{}={}".format, keys, yaml_like | scalars.map(str)) | st.text(max_size=30), max_size=3))
def test_any_text_behind_vary(varied: list[str]) -> None:
    _check(attempt(lambda: load_config(None, flags={"sweep.vary": varied})))


@fuzzed
@given(st.one_of(yaml_like.map(str.encode), trees.map(lambda t: yaml.safe_dump(t).encode()), st.binary(max_size=80)))
def test_any_file(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_bytes(content)
    _check(attempt(lambda: load_config(file), "any.yaml"))


DEMO = (Path(__file__).parents[2] / "configs" / "demo.yaml").read_bytes()


@fuzzed
@given(harms())
def test_a_spoilt_file(tmp_path_factory: pytest.TempPathFactory, harm: Any) -> None:
    file = tmp_path_factory.getbasetemp() / "spoilt.yaml"
    file.write_bytes(harm(DEMO))
    _check(attempt(lambda: load_config(file), "spoilt.yaml"))


@fuzzed
@given(
    st.integers(1, 60), st.integers(1, 12), st.sampled_from(["[{}]", "{{a: {}}}", "- {}", "? {}", "&a {}", "!!set {}"])
)
def test_bombs_and_towers(height: int, width: int, floor: str) -> None:
    laughs = ["a0: &a0 [x]"]
    for level in range(1, height):
        laughs.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * width)}]")
    tower = "x"
    for _ in range(height):
        tower = floor.format(tower)
    for text in ("\n".join(laughs), tower, tower * width, f"sweep: {{vary: {{model.width: {tower}}}}}"):

        def read(text: str = text) -> Any:
            try:
                return read_yaml(text)
            except ValueError as error:
                raise ConfigError(str(error)) from None

        attempt(read)


@st.composite
def class_files(draw: st.DrawFn) -> bytes:
    """A class file with something else somewhere in it, or anything."""
    tree = json.loads(json.dumps(GOOD))
    places = ["num_classes", "ignore_index", "classes", "color", "id", "name", "file"]
    place, value = draw(st.sampled_from(places)), draw(trees | st.lists(st.integers(-1, 300), max_size=4))
    if place == "file":
        tree = value
    elif place in tree:
        tree[place] = value
    else:
        tree["classes"][draw(st.integers(0, 1))][place] = value
    return json.dumps(tree).encode(errors="surrogatepass")


@fuzzed
@given(class_files() | st.builds(lambda harm: harm(json.dumps(GOOD).encode()), harms()))
def test_any_class_file(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "classes.json"
    file.write_bytes(content)
    table = attempt(lambda: read_class_table(file), "classes.json")
    if table is not None:
        assert isinstance(table, ClassTable)
        tree = json.loads(content)
        entries = tree.get("classes", tree) if isinstance(tree, dict) else tree
        assert len(set(table.names)) == table.num_classes == len(table.colours) == len(entries)
        assert all(name.strip() and name.isprintable() for name in table.names)

"""The reference of the configuration is that of the models, and the site builds without a warning."""

import json
import runpy
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from ripu_ray.config import Config, DatasetSection
from ripu_ray.config.demo import demo_tree
from ripu_ray.config.registry import DATASETS

ROOT = Path(__file__).parent.parent
SCRIPT = runpy.run_path(str(ROOT / "docs/make_reference.py"))


def _keys(section: type[Any], prefix: str = "") -> Iterator[tuple[str, str, Any]]:
    """Dotted key, meaning and default of every setting; None for a section."""
    for key, field, below in SCRIPT["fields_of"](section):
        yield f"{prefix}{key}", SCRIPT["meaning"](field, below), None if below else SCRIPT["default_of"](field)
        if below:
            yield from _keys(DATASETS["synthetic"] if below is DatasetSection else below, f"{prefix}{key}.")


def test_every_key_has_a_description() -> None:
    named = ("cityscapes", "folder", "huggingface", "patterns")
    sections = [("", Config), *((f"{name}: ", DATASETS[name]) for name in named)]
    assert [key for prefix, section in sections for key, meaning, _ in _keys(section, prefix) if not meaning] == []


def test_the_demo_has_every_key_with_its_default_or_its_own_value() -> None:
    tree = yaml.safe_load((ROOT / "configs/demo.yaml").read_text(encoding="utf-8"))
    own = {f"{section}.{key}": value for section, values in demo_tree().items() for key, value in values.items()}
    for key, _, default in _keys(Config):
        value: Any = tree
        for name in key.split("."):
            assert name in value, f"configs/demo.yaml has no {key}"
            value = value[name]
        assert isinstance(value, dict) or value == own.get(key, default), key


def test_the_page_and_the_demo_are_what_their_script_writes() -> None:
    # In a process of its own: other tests register data sets.
    code = (
        f"import json, runpy; script = runpy.run_path({str(ROOT / 'docs/make_reference.py')!r}); "
        "print(json.dumps([script['reference_page'](), script['demo']()]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    page, demo = json.loads(done.stdout)
    hint = "run `python docs/make_reference.py`"
    assert (ROOT / "docs/reference/configuration.md").read_text(encoding="utf-8") == page, hint
    assert (ROOT / "configs/demo.yaml").read_text(encoding="utf-8") == demo, hint


@pytest.mark.slow
@pytest.mark.skipif(not find_spec("sphinx"), reason="needs the extra: pip install 'ripu-ray[docs]'")
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "docs", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert "training.learning_rate" in (tmp_path / "reference/configuration.html").read_text(encoding="utf-8")
    assert 'id="ripu-sweep"' in (tmp_path / "reference/cli.html").read_text(encoding="utf-8")
    assert "Run a grid" in (tmp_path / "reference/python-api.html").read_text(encoding="utf-8")

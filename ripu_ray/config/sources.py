"""The sources of a configuration, merged into one tree of plain values."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ripu_ray.config.demo import demo_tree, drop_comparison
from ripu_ray.config.fields import Section
from ripu_ray.config.reading import put, read_yaml_file
from ripu_ray.config.texts import Typed, kind_of, read_varied, settle
from ripu_ray.errors import ConfigError


def merge_sources(
    kind: type[Section], file: Path | None, settings: Sequence[str], flags: Mapping[str, Any], demo: bool
) -> tuple[dict[str, Any], list[str]]:
    """The tree of plain values that the sources of a configuration give, and the keys that were typed.

    Args:
        kind: the configuration, whose settings of type text keep the text that was typed.
        file, settings, flags: see `load_config`.
        demo: start from the demo's settings; with `file`, False.

    Raises:
        ConfigError: one line that names the file or key.
    """
    tree: dict[str, Any] = read_yaml_file(file) if file else demo_tree() if demo else {}
    typed = []
    for setting in settings:
        key, sign, text = setting.partition("=")
        if not sign or not key.strip():
            raise ConfigError(f"--set {setting}: expected key=value, such as training.round_steps=20")
        put(tree, key.strip(), Typed(text.strip(), f"--set {setting}"), origin=f"--set {setting}")
        typed.append(key.strip())
    for key, value in flags.items():
        if value is not None:
            put(tree, key, value, origin=key)
            typed.append(key)
    settled = _settle(tree, kind)
    return drop_comparison(settled, typed) if demo else settled, typed


def _settle(tree: dict[str, Any], kind: type[Section]) -> dict[str, Any]:
    """The tree with plain values: texts where a setting, or a varied setting, is a text."""
    sweep = tree.get("sweep")
    varied = read_varied(sweep.pop("vary", None)) if isinstance(sweep, dict) else None
    tree = settle(tree, kind)
    if isinstance(varied, dict):
        varied = {
            key: [settle(value, kind_of(kind, str(key), tree)) for value in values]
            if isinstance(values, list)
            else settle(values)
            for key, values in varied.items()
        }
    if (varied := settle(varied)) is not None:
        tree["sweep"] = {**tree.get("sweep", {}), "vary": varied}
    return tree

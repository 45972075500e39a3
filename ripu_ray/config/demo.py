"""What `ripu sweep` and `ripu run` do without a configuration file; configs/demo.yaml has the same values.

These values follow docs/results.md. The defaults of the sections are the paper's, so that a file keeps its meaning.
"""

from collections.abc import Collection
from copy import deepcopy
from typing import Any

_DEMO = {
    "training": {"round_steps": 30},
    "strategy": {"power": 1},
    "sweep": {"acquisitions": ["ripu", "random", "source_only", "full"]},
}


def demo_tree() -> dict[str, Any]:
    """Return the settings in which the demo differs from the defaults, as plain values."""
    return deepcopy(_DEMO)


def drop_comparison(tree: dict[str, Any], typed: Collection[str]) -> dict[str, Any]:
    """Return the tree without the demo's list of acquisitions if one acquisition was named, or if people answer.

    Args:
        tree: the demo's settings under those that were typed.
        typed: dotted keys of the settings that were typed.
    """
    is_listed = {"sweep", "sweep.acquisitions"} & {*typed}
    oracle = tree.get("oracle")
    is_one = "strategy.acquisition" in typed or (isinstance(oracle, dict) and oracle.get("kind") == "human")
    if is_listed or not is_one:
        return tree
    return tree | {"sweep": {key: value for key, value in tree["sweep"].items() if key != "acquisitions"}}

"""Options of a user's own acquisition function and stopping rule: in the grid, in scores and in results."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from torch import Tensor

from ripu_ray.config import StoppingConfig, load_config
from ripu_ray.config.registry import ACQUISITIONS, STOPPING_RULES, registering
from ripu_ray.core.acquisition import Query, acquisition
from ripu_ray.core.prediction import PixelMaps
from ripu_ray.errors import ConfigError
from ripu_ray.reporting.arms import add_names
from ripu_ray.reporting.results import collect
from ripu_ray.runs.effects import idle_settings
from ripu_ray.runs.grid import expand
from ripu_ray.runs.ledger import Ledger
from ripu_ray.simulation.preflight import check_trials
from ripu_ray.simulation.stopping import stopping_rule
from tests.conftest import TINY
from tests.running import run_all

SETTINGS = [*TINY, "cluster.scorers=0", "strategy.budget=5", "strategy.power=null"]


@pytest.fixture(autouse=True)
def _own_parts() -> Iterator[None]:
    with registering("tests"):

        @acquisition("signed")
        def signed(maps: PixelMaps, query: Query, sign: int = 1) -> Tensor:
            return sign * query.mean(maps.entropy_HW)

        @stopping_rule("enough")
        class Enough:
            def __init__(self, stopping: StoppingConfig) -> None:
                self.share = stopping.options["share"]
                self.rounds_needed = stopping.options.get("rounds_needed", 0)

            def should_stop(self, history: object) -> str | None:
                return "enough" if self.share == 0 else None

    yield
    ACQUISITIONS.withdraw("tests")
    STOPPING_RULES.withdraw("tests")


def test_options_are_arms_of_a_sweep(tmp_path: Path) -> None:
    """An option of -1 turns the order of entropy around; functions without options have one trial."""
    sweep = {
        "sweep.acquisitions": ["signed", "entropy"],
        "sweep.vary": {"strategy.options.sign": [1, -1], "stopping.options.share": [0, 1]},
    }
    config = load_config(None, [*SETTINGS, "stopping.rule=enough"], sweep)
    run = run_all(tmp_path / "run", config)
    rows = add_names(collect(run))
    last = rows[rows["round"] >= 0].groupby("strategy", sort=False)["round"].max().to_dict()
    assert last == {
        "signed, sign 1, share 0": 0,
        "entropy, share 0": 0,
        "signed, sign 1, share 1": 1,
        "entropy, share 1": 1,
        "signed, sign -1, share 0": 0,
        "signed, sign -1, share 1": 1,
    }
    bought = {
        name: Ledger.open(run.path, f"region-w3-{name}-share=1-s0").table(0).column("row").to_pylist()
        for name in ("signed-b5-sign=1", "signed-b5-sign=_1", "entropy-b5")
    }
    assert bought["signed-b5-sign=1"] == bought["entropy-b5"] != bought["signed-b5-sign=_1"]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (["strategy.acquisition=signed", "strategy.options.sing=1"], "strategy.acquisition signed failed: .*'sing'"),
        (["stopping.rule=enough"], "stopping.rule enough: .*KeyError: 'share'"),
        (
            ["stopping.rule=enough", "stopping.options={share: 1, rounds_needed: two}"],
            "stopping.rule enough: .*'str' object cannot be interpreted as an integer",
        ),
        (["strategy.options=3"], "strategy.options: expected keys and values"),
    ],
)
def test_a_wrong_option_is_one_line_before_a_run(settings: list[str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        check_trials(expand(load_config(None, [*SETTINGS, *settings])))


def test_options_without_an_effect_are_named() -> None:
    settings = [*SETTINGS, "strategy.options.sign=1", "stopping.rule=small_gain", "stopping.options.share=1"]
    trials = expand(load_config(None, settings))
    assert idle_settings([trial.config for trial in trials]) == [
        f"{key}.options has no effect on this trial" for key in ("strategy", "stopping")
    ]

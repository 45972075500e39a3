"""A share of a round that is bought class by class, against values computed by hand."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ripu_ray.config import StrategyConfig, load_config
from ripu_ray.core.purchase import ByClass, buy, class_limit
from ripu_ray.core.regions import Windows
from ripu_ray.data.loading import open_domains
from ripu_ray.errors import ConfigError
from ripu_ray.runs.grid import expand
from ripu_ray.runs.ledger import Ledger
from tests.conftest import TINY
from tests.running import run_all

QUICK = (*TINY, "cluster.scorers=0", "training.warmup_steps=1", "training.round_steps=1", "strategy.budget=10")
CLASS_SCORES = ([0.9, 0.8, 0.0, 0.0, 0.0, 0.0], [0.7, 0.0, 0.6, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.5, 0.4, 0.0])


@pytest.mark.parametrize(
    ("share", "budget", "order", "columns"),
    [
        # 3 of 6 pixels by class, one each; class 1 finds its best taken by class 0 and takes the next.
        (0.5, "6px", (0, 1, 2), [0, 2, 3, 5, 4, 1]),
        (0.5, "6px", (1, 0, 2), [0, 1, 3, 5, 4, 2]),
        # floor(0.66 * 3 / 3 * k) is 0, 1, 1 pixels: the second class of the order takes it.
        (0.66, "3px", (0, 1, 2), [0, 5, 4]),
        (0.66, "3px", (0, 2, 1), [3, 5, 4]),
        (1.0, "3px", (2, 1, 0), [3, 0, 1]),
        (0.0, "3px", (0, 1, 2), [5, 4, 3]),
    ],
)
def test_classes_are_served_in_order_and_then_the_score(
    share: float, budget: str, order: tuple[int, ...], columns: list[int]
) -> None:
    score_HW = torch.tensor([[0.1, 0.2, 0.3, 0.4, 0.5, 0.6]])
    strategy = StrategyConfig.model_validate(
        {"mode": "pixel", "budget": budget, "rounds": 1, "windows": {"region": 1, "pixel": 1}}
    )
    by_class = ByClass(share, order, lambda label: torch.tensor([CLASS_SCORES[label]]))
    regions = Windows((1, 6), "pixel", 0)
    nothing = np.empty((0, 2), np.int32)
    predicted_HW = torch.zeros(1, 6, dtype=torch.uint8)
    centres, scores = buy(score_HW, predicted_HW, 3, regions, strategy, 0, nothing, by_class=by_class)
    assert centres[:, 1].tolist() == columns
    assert len(scores) == len(columns)


def test_the_limits_add_up_to_the_share() -> None:
    assert [class_limit(0.66, 100, served, 7) for served in range(1, 8)] == [9, 18, 28, 37, 47, 56, 66]


@pytest.mark.parametrize("allocation", ["per_image", "pool"])
@pytest.mark.parametrize(
    "more", [("mode=region",), ("mode=pixel", "windows.pixel=3"), ("shape=superpixels", "windows.region=5")], ids=str
)
def test_clasp_pe_keeps_the_budget_and_differs_from_entropy(
    tmp_path: Path, allocation: str, more: tuple[str, ...]
) -> None:
    settings = (*QUICK, f"strategy.allocation={allocation}", *(f"strategy.{setting}" for setting in more))
    flags = {"sweep.acquisitions": ["clasp_pe", "entropy"]}
    config = load_config(None, settings, flags)
    run = run_all(tmp_path / "run", config)
    pool = open_domains(config.data).pool
    first, second = (Ledger(run.trial(trial_id).path, pool.image_ids, None) for trial_id in run.trials)
    budget = 5 * 32 * 48 // 10
    largest = {"mode=region": 9, "mode=pixel": 1}.get(more[0], 60)
    assert all(budget - 5 * largest <= ledger.spent.pixels <= budget for ledger in (first, second))
    assert any(first.centres(name).tolist() != second.centres(name).tolist() for name in pool.image_ids)


def test_a_preset_holds_unless_the_strategy_has_its_own() -> None:
    spread = load_config(None, ["strategy.acquisition=clasp_pe"]).strategy.spread
    assert (str(spread.power), spread.balanced, spread.class_share) == ("1 -> 100", False, 0.66)
    own = ["strategy.acquisition=clasp_pe", "strategy.power=2", "strategy.class_share=0"]
    spread = load_config(None, own).strategy.spread
    assert (str(spread.power), spread.class_share) == ("2", 0)
    assert load_config(None, ["strategy.acquisition=random_balanced"]).strategy.spread.balanced
    # Two shares have two names, however close they are.
    trials = expand(load_config(None, [], {"sweep.vary": ["strategy.class_share=null,0,0.1234561,0.1234562"]}))
    names = ["", "-classes0", "-classes0.1234561", "-classes0.1234562"]
    assert [trial.trial_id for trial in trials] == [f"region-w3-ripu-b2.2{name}-s0" for name in names]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (("class_share=1.1",), "strategy.class_share: expected less than or equal to 1"),
        (("class_share=0.5", "parity=true"), "the reference implementation has no strategy.class_share"),
        (("class_share=0.5", "balanced=true"), "strategy.balanced and strategy.class_share exclude each other"),
        (("acquisition=clasp_pe", "balanced=true"), "strategy.balanced and class_share of clasp_pe exclude each other"),
    ],
)
def test_what_makes_no_sense_gets_one_line(settings: tuple[str, ...], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load_config(None, [f"strategy.{setting}" for setting in settings])
    lists = {"sweep.acquisitions": ["ripu", "clasp_pe"]}
    with pytest.raises(ConfigError, match=says):
        expand(load_config(None, [f"strategy.{each}" for each in settings if "acquisition" not in each], lists))

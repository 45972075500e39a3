"""Acquisition functions and choices that need more than logits, against values computed by hand."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from ripu_ray.config import load_config
from ripu_ray.core.acquisition import Query
from ripu_ray.core.diversity import k_centre, region_features, select_diverse
from ripu_ray.core.purchase import score_image
from ripu_ray.core.regions import Cells, Windows, grid_map
from ripu_ray.data.loading import open_domains
from ripu_ray.errors import ConfigError, NonFiniteError
from ripu_ray.models.networks import build_network
from ripu_ray.runs.grid import expand
from ripu_ray.runs.ledger import Ledger
from ripu_ray.simulation.preflight import check_trials
from tests.conftest import TINY
from tests.core.golden import score
from tests.running import run_all

QUICK = (*TINY, "cluster.scorers=0", "training.warmup_steps=1", "training.round_steps=1", "strategy.budget=10")
HALVES = torch.tensor([[4.0, 4.0, -4.0, -4.0]])
LOGITS_CHW = torch.stack([HALVES, -HALVES])
"""Class 0 in the first two columns, class 1 in the others."""


def _query(bought_C: tuple[int, ...] | None = None, mode: str = "pixel") -> Query:
    return Query(Windows((1, 4), mode, 0), mode, False, np.random.default_rng(0), bought_C)  # type: ignore[arg-type]


def test_random_boundary_draws_where_classes_meet() -> None:
    regions = Windows((1, 4), "region", 1)
    for seed in range(20):
        score_HW = score(LOGITS_CHW, (1, 4), "random_boundary", mode="region", radius=1, regions=regions, seed=seed)
        assert ((score_HW >= 0) == torch.tensor([[False, True, True, False]])).all()
        drawn_HW = score(LOGITS_CHW, (1, 4), "random", mode="region", radius=1, regions=regions, seed=seed)
        assert torch.allclose(score_HW[0, 1:3], drawn_HW[0, 1:3])


@pytest.mark.parametrize(
    ("bought_C", "weights"),
    [
        (None, [1, 1]),
        ((0, 0), [1, 1]),
        ((10, 10), [1 / 2, 1 / 2]),
        ((30, 10), [1 / 2.5, 1 / 1.5]),
        ((0, 5), [1, 1 / 3]),
    ],
)
def test_class_reweighted_divides_by_the_share_of_the_predicted_class(
    bought_C: tuple[int, ...] | None, weights: list[float]
) -> None:
    query = Query(Windows((1, 4), "pixel", 1), "pixel", False, np.random.default_rng(0), bought_C)
    plain_HW, _ = score_image(LOGITS_CHW, (1, 4), "ripu", query)
    weighted_HW, _ = score_image(LOGITS_CHW, (1, 4), "class_reweighted", query)
    assert weighted_HW[0, 1:3] / plain_HW[0, 1:3] == pytest.approx(weights)


def test_halo_euclidean_multiplies_scaled_entropy_and_norm() -> None:
    logits_CHW = torch.tensor([[[0.0, 1.0, 2.0, 9.0]], [[0.0, 0.0, 0.0, 0.0]]])
    features_DHW = torch.tensor([[[3.0, 0.0, 3.0, 3.0]], [[4.0, 1.0, 0.0, 4.0]]])  # norms 5, 1, 3, 5
    score_HW, maps = score_image(logits_CHW, (1, 4), "halo_euclidean", _query(), features_DHW)
    low, high = maps.entropy_HW.min(), maps.entropy_HW.max()
    entropy_HW = (maps.entropy_HW - low) / (high - low)
    assert score_HW[0] == pytest.approx((entropy_HW[0] * torch.tensor([1, 0, 0.5, 1])).numpy())
    assert score_HW[0, 0] == pytest.approx(1)


def test_bald_is_the_information_that_the_draws_share() -> None:
    sure, unsure = [30.0, -30.0], [0.0, 0.0]
    # Columns: the draws agree and are sure; agree and are unsure; are sure and contradict each other.
    draws = torch.tensor([[sure, unsure, sure], [sure, unsure, sure[::-1]]])
    draws_TCHW = draws.permute(0, 2, 1)[:, :, None]
    query = Query(Windows((1, 3), "pixel", 0), "pixel", False, np.random.default_rng(0))
    score_HW, _ = score_image(draws_TCHW[0], (1, 3), "bald", query, None, draws_TCHW)
    assert score_HW[0] == pytest.approx([0, 0, math.log(2)], abs=1e-5)
    assert load_config(None, ["strategy.acquisition=power_bald"]).strategy.spread.power


@pytest.mark.parametrize(
    ("known", "count", "chosen"),
    [
        ([], 4, [0, 3, 2, 1]),  # the best; the farthest from 0; then 2 is 2 away from 0 and 7 from 9, 1 is 1 away
        ([9.0], 2, [0, 2]),
        ([0.0, 9.0], 1, [2]),
        ([], 9, [0, 3, 2, 1]),
        ([], 0, []),
    ],
)
def test_k_centre_takes_what_is_farthest(known: list[float], count: int, chosen: list[int]) -> None:
    candidates_MD = np.array([[0.0], [1.0], [2.0], [9.0]])
    assert k_centre(candidates_MD, np.array(known).reshape(-1, 1), count).tolist() == chosen


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_features_that_are_not_finite_have_no_distance(value: float) -> None:
    features_Dhw, regions = torch.zeros(2, 4, 4), Windows((8, 8), "region", 1)
    features_Dhw[0, 1, 1] = value
    with pytest.raises(NonFiniteError, match="among the features"):
        select_diverse(
            torch.rand(8, 8), np.zeros((8, 8), np.bool_), 3, 2, regions, np.empty((0, 2), np.int32), features_Dhw
        )


def test_region_features_are_means_of_the_nearest() -> None:
    features_Dhw = np.arange(4, dtype=float).reshape(1, 2, 2)
    centres = np.array([[1, 1], [2, 4]], np.int32)
    means = region_features(features_Dhw, (4, 6), Cells(grid_map((4, 6), 3)), centres)
    # Rows 0-1 and 2-3, columns 0-2 and 3-5 are nearest to one feature each; the first cell has rows 0-2.
    assert means[:, 0] == pytest.approx([(0 * 2 + 2) / 3, (1 * 2 + 3) / 3])


def test_dropout_draws_differ_and_leave_the_network_as_it_was() -> None:
    config = load_config(None, ["model.name=deeplabv3plus"])
    network = build_network(config.model, 3, seed=0).eval()
    image = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        logits, features = network.with_features(image)
        first, second = (network.dropout_logits(image, 2, seed=1) for _ in range(2))
        assert torch.equal(first, second)
        assert not torch.equal(first[0], first[1])
        assert torch.equal(network(image), logits)
        assert torch.equal(network.last_layer()(features), logits)
    assert not any(module.training for module in network.modules())


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (("strategy.acquisition=bald",), "acquisition bald needs a network with dropout, and `compact` has none"),
        (("strategy.acquisition=halo_euclidean", "model.name=deeplabv2"), "features of its decoder, and `deeplabv2`"),
        (("strategy.diversity=2", "model.name=deeplabv2"), "strategy.diversity needs a network with features"),
        (("strategy.diversity=2", "strategy.allocation=pool"), "strategy.diversity: chooses among .* allocation pool"),
        (("strategy.diversity=2", "strategy.balanced=true"), "strategy.diversity: .* excludes strategy.balanced"),
        (("strategy.diversity=2", "strategy.acquisition=clasp_pe"), "excludes class_share of clasp_pe"),
        (("strategy.diversity=1",), "strategy.diversity: expected greater than or equal to 2"),
    ],
)
def test_what_cannot_be_done_gets_one_line(settings: tuple[str, ...], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        check_trials(expand(load_config(None, (*TINY, *settings))))


@pytest.mark.parametrize(
    "more", [("mode=region",), ("mode=pixel", "windows.pixel=3"), ("shape=grid", "windows.region=5")], ids=str
)
def test_contenders_keep_the_budget_and_choose_differently(tmp_path: Path, more: tuple[str, ...]) -> None:
    names = ["ripu", "random_balanced", "random_boundary", "class_reweighted", "halo_euclidean"]
    settings = (*QUICK, *(f"strategy.{setting}" for setting in more))
    run = run_all(tmp_path / "run", load_config(None, settings, {"sweep.acquisitions": names}))
    diverse = run_all(tmp_path / "diverse", load_config(None, (*settings, "strategy.diversity=3")))
    pool = open_domains(run.config.data).pool
    bought = set()
    for each in (run, diverse):
        for trial_id in each.trials:
            ledger = Ledger(each.trial(trial_id).path, pool.image_ids, None)
            largest = {"mode=region": 9, "mode=pixel": 1}.get(more[0], 25)
            assert 5 * 32 * 48 // 10 - 5 * largest <= ledger.spent.pixels <= 5 * 32 * 48 // 10
            bought.add(ledger.digest(1))
    assert len(bought) == len(names) + 1

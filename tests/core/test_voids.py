"""What is learned from void pixels, and agreement of predictions, against values computed by hand."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ripu_ray.config import load_config
from ripu_ray.core.stability import cohens_kappa
from ripu_ray.core.voids import count_voids, expected_void, outline_distance, void_shares
from ripu_ray.errors import ConfigError
from ripu_ray.runs.run_folder import RunFolder
from tests.conftest import TINY
from tests.running import committed, execute_trial, ignore, run_all


def test_distances_to_an_outline_double() -> None:
    predicted_HW = torch.zeros(1, 12, dtype=torch.uint8)
    predicted_HW[:, 0] = 1
    assert outline_distance(predicted_HW).tolist() == [[0, 0, 1, 2, 2, 3, 3, 3, 3, 4, 4, 4]]


def test_void_shares_are_smoothed_counts() -> None:
    predicted_HW = torch.tensor([[1, 1, 0, 0, 0, 0]], dtype=torch.uint8)
    label_HW = np.array([[255, 1, 255, 0, 255, 255]], np.uint8)
    bought_HW = np.array([[1, 1, 1, 1, 1, 0]], bool)
    counts = count_voids(predicted_HW, label_HW, bought_HW, 2)
    # Distances are 1, 0, 0, 1, 2, 2; the last pixel is not bought.
    assert counts[0].tolist() == [[1, 1, 1, 0, 0], [1, 1, 0, 0, 0]]
    assert counts[1].tolist() == [[1, 0, 1, 0, 0], [0, 1, 0, 0, 0]]
    overall = 3 / 5
    shares = void_shares(counts)
    assert shares[0] == pytest.approx([(1 + 10 * overall) / 11, 10 * overall / 11, (1 + 10 * overall) / 11, 0.6, 0.6])
    expected = [shares[1, 1], shares[1, 0], shares[0, 0], shares[0, 1], shares[0, 2], shares[0, 2]]
    assert expected_void(predicted_HW, shares)[0].tolist() == pytest.approx(expected)
    assert not void_shares(np.zeros((2, 2, 5), np.int64)).any()


@pytest.mark.parametrize(
    ("first", "second", "kappa"),
    [
        ([0, 1, 2, 2], [0, 1, 2, 2], 1),
        ([0, 0, 0], [0, 0, 0], 1),
        ([0, 0, 1, 1], [0, 1, 0, 1], 0),  # half agree, as chance does
        ([0, 0, 1, 1], [1, 1, 0, 0], -1),
        ([0, 0, 0, 1], [0, 0, 1, 1], 0.5),  # (3/4 - 1/2) / (1 - 1/2)
    ],
)
def test_kappa_is_agreement_beyond_chance(first: list[int], second: list[int], kappa: float) -> None:
    assert cohens_kappa(np.array(first, np.uint8), np.array(second, np.uint8), 3) == pytest.approx(kappa)


@pytest.mark.parametrize("more", [("mode=region",), ("mode=pixel",), ("shape=grid", "allocation=pool")], ids=str)
def test_a_trial_that_avoids_void_is_resumed_to_the_same(tmp_path: Path, more: tuple[str, ...]) -> None:
    settings = (*TINY, "cluster.scorers=0", "strategy.budget=10", *(f"strategy.{each}" for each in more))
    plain = run_all(tmp_path / "plain", load_config(None, settings))
    run = run_all(tmp_path / "run", load_config(None, (*settings, "strategy.avoid_void=learned")))
    before, (trial_id,) = committed(run), run.trials
    assert "learned_void" in trial_id
    first, second = (next(iter(each.trials)) for each in (plain, run))
    digests = [each.trial(name).stage(0).read().purchase_sha256 for each, name in ((plain, first), (run, second))]
    assert digests[0] == digests[1]  # nothing was learned before the first round
    record = run.trial(second).stage(1).read()
    assert record.spent_pixels <= 5 * 32 * 48 // 10
    assert record.labelled_share == 1 - record.void_pixels / record.spent_pixels
    for name in ("record.json", "weights.pt", "purchase.json"):
        (run.trial(trial_id).stage(1).path / name).unlink()
    execute_trial(RunFolder(run.path), trial_id, ignore)
    assert committed(run) == before


def test_nothing_is_learned_of_rounds_that_bought_nothing(tmp_path: Path) -> None:
    # A third and two thirds of 10 pixels are too few for a window of 9.
    settings = (*TINY, "cluster.scorers=0", "strategy.budget=10px", "strategy.rounds=3", "strategy.avoid_void=learned")
    run = run_all(tmp_path / "run", load_config(None, settings))
    stages = [run.trial(next(iter(run.trials))).stage(index).read() for index in range(3)]
    assert [stage.spent_pixels for stage in stages] == [0, 0, 5 * 9]


def test_parity_knows_no_void() -> None:
    with pytest.raises(ConfigError, match=r"has no strategy\.avoid_void"):
        load_config(None, ["strategy.avoid_void=learned", "strategy.parity=true"])

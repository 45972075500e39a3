"""Pool-wide allocation: what merging whole sequences gives, found from their beginnings."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ripu_ray.config import load_config
from ripu_ray.data.loading import open_domains
from ripu_ray.errors import ConfigError
from ripu_ray.runs.grid import expand
from ripu_ray.runs.ledger import Ledger
from ripu_ray.runs.selections import Selection
from ripu_ray.simulation.allocation import allocate
from ripu_ray.simulation.preflight import check_trials
from ripu_ray.simulation.protocols import ScoreRequest
from tests.conftest import TINY
from tests.running import committed, run_all

EMPTY = np.empty((0, 2), np.int32)


def _sequence(rng: np.random.Generator, image_id: str) -> Selection:
    """A whole greedy sequence with ties and regions of unequal size."""
    number = int(rng.integers(0, 40))
    scores = np.sort(rng.integers(0, 12, number).astype(np.float32) * rng.choice([1, 3]))[::-1]
    pixels = rng.integers(1, 10, number).astype(np.uint32)
    centres = np.stack([np.arange(number), np.arange(number)], axis=1).astype(np.uint16)
    none = np.zeros(number, np.uint32)
    return Selection(image_id, centres, scores, pixels, none, none, pixels[:, None])


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 900))
def test_equals_the_merge_of_whole_sequences(seed: int, allowed_pixels: int) -> None:
    rng = np.random.default_rng(seed)
    whole = {f"{index:02d}": _sequence(rng, f"{index:02d}") for index in range(int(rng.integers(1, 9)))}

    def score(requests: Iterable[ScoreRequest]) -> Iterator[Selection]:
        for request in sorted(requests, key=lambda _: rng.random()):
            full, wanted = whole[request.image_id], request.prefix_pixels
            assert wanted is not None
            stop = int(np.searchsorted(full.pixels_N.cumsum(), wanted)) + 1 if wanted else 0
            yield full.first(stop)

    found = allocate([ScoreRequest(image_id, EMPTY) for image_id in whole], allowed_pixels, score)
    merged = sorted(
        (-float(full.scores_N[rank]), place, rank, int(full.pixels_N[rank]))
        for place, full in enumerate(whole.values())
        for rank in range(len(full.scores_N))
    )
    expected, spent = [0] * len(whole), 0
    for _, place, _, pixels in merged:
        if spent + pixels > allowed_pixels:
            break
        expected[place] += 1
        spent += pixels
    assert [len(selection.scores_N) for selection in found] == expected
    assert [selection.image_id for selection in found] == list(whole)


def test_the_pool_s_budget_is_kept_and_goes_to_the_best(tmp_path: Path) -> None:
    config = load_config(None, (*TINY, "cluster.scorers=0", "strategy.allocation=pool", "strategy.rounds=3"))
    run = run_all(tmp_path / "run", config)
    (trial_id,) = run.trials
    assert trial_id == "region-w3-ripu-b5-pool-s0"
    records = [run.trial(trial_id).stage(index).read() for index in range(3)]
    total = 5 * 32 * 48 * 5 // 100
    for index, record in enumerate(records):
        allowed = total * (index + 1) // 3
        assert record.spent_pixels <= allowed < record.spent_pixels + 9
    pool = open_domains(config.data).pool
    ledger = Ledger(run.trial(trial_id).path, pool.image_ids, 9)
    counts = [len(ledger.centres(image_id)) for image_id in pool.image_ids]
    assert len(set(counts)) > 1
    again = run_all(tmp_path / "again", config)
    assert committed(again) == committed(run)


@pytest.mark.parametrize(
    ("budget", "mode", "total", "spent"),
    [
        ("5px", "region", 5 * 5, 2 * 9),  # too little for a window of 9 pixels in any image
        ("0.1", "pixel", 7, 7),  # 1.536 pixels an image
        ("0.02", "pixel", 1, 1),
    ],
)
def test_the_pool_s_budget_may_be_small_for_one_image(
    tmp_path: Path, budget: str, mode: str, total: int, spent: int
) -> None:
    settings = (*TINY, "cluster.scorers=0", "strategy.allocation=pool", f"strategy.budget={budget}")
    config = load_config(None, (*settings, f"strategy.mode={mode}"))
    check_trials(expand(config))
    run = run_all(tmp_path / "run", config)
    last = run.trial(next(iter(run.trials))).stage(1).read()
    assert (last.budget_pixels, last.spent_pixels) == (total, spent)


def test_a_pool_that_cannot_buy_a_region_is_refused() -> None:
    config = load_config(None, (*TINY, "strategy.allocation=pool", "strategy.budget=1px"))
    with pytest.raises(ConfigError, match="at most 5 pixels of the pool, too little for a single window of 9 pixels"):
        check_trials(expand(config))

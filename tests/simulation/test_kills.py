"""Real runs are killed at random moments, with all their processes, and resumed: they end as one that was not.

`benchmarks/faults.py` does the same as often as it is asked.
"""

import random
from pathlib import Path

import pytest

from benchmarks.faults import ALONE, ON_RAY, Moment, Whole, kill_and_resume, run_whole

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """The unbroken run, in one process."""
    return run_whole(ALONE, tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("seed", range(2))
def test_killed_three_times_in_one_process(tmp_path: Path, whole: Whole, seed: int) -> None:
    assert kill_and_resume(ALONE, tmp_path, _moments(whole, seed, 3), whole)[1] is None


@pytest.mark.timeout(600)
def test_killed_on_ray(tmp_path: Path) -> None:
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    whole = run_whole(ON_RAY, tmp_path / "whole")
    assert kill_and_resume(ON_RAY, tmp_path / "killed", _moments(whole, 5, 1), whole)[1] is None


def _moments(whole: Whole, seed: int, count: int) -> list[Moment]:
    """Random ones; of the work that is left, each process does a part."""
    rng = random.Random(seed)
    return [whole.moment(rng.random() / (index + 1)) for index in range(count)]

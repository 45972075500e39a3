"""Noise in a run: in what is trained on alone, and the same after an interruption."""

import shutil
from pathlib import Path

import pytest

from ripu_ray.config import load_config
from ripu_ray.errors import ConfigError
from ripu_ray.runs.grid import expand
from ripu_ray.simulation.preflight import check_trials
from tests.conftest import TINY
from tests.running import committed, execute_trial, ignore, run_all

NOISE = ("oracle.noise.flips=0.5", "oracle.noise.jitter_pixels=2", "oracle.noise.missed_rate=0.3")


def test_a_noisy_run_pays_as_much_learns_otherwise_and_resumes_to_the_same_bytes(tmp_path: Path) -> None:
    settings = (*TINY, "cluster.scorers=0")
    clean = run_all(tmp_path / "clean", load_config(None, settings))
    noisy = run_all(tmp_path / "noisy", load_config(None, (*settings, *NOISE)))
    before = committed(noisy)
    (trial_id,) = noisy.trials
    first, other = (run.trial(trial_id).stage(0).read() for run in (clean, noisy))
    assert (first.purchase_sha256, first.spent_pixels) == (other.purchase_sha256, other.spent_pixels)
    assert first.weights_sha256 != other.weights_sha256
    # An annotator who errs takes as long, and the record says what there is, not what was said.
    assert (first.boundary_pixels, first.annotation_s, first.bought) == (
        other.boundary_pixels,
        other.annotation_s,
        other.bought,
    )
    shutil.rmtree(noisy.trial(trial_id).path / "round_01")
    execute_trial(noisy, trial_id, ignore)
    assert committed(noisy) == before


@pytest.mark.parametrize(
    ("flips", "says"),
    [
        ("[[1, 0], [0, 1]]", "oracle.noise.flips has 2 rows: expected one for each of"),
        ("[[1, 0], [0.5, 0.4]]", "expected a rate, or a square matrix whose rows sum to 1"),
        ("1.5", r"oracle\.noise\.flips"),
    ],
)
def test_a_confusion_matrix_that_does_not_fit_gets_one_line(flips: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        check_trials(expand(load_config(None, (*TINY, f"oracle.noise.flips={flips}"))))
    assert "\n" not in str(caught.value)

"""Without a source: from a checkpoint, rounds before any step, the target's losses; and the last round's steps."""

from pathlib import Path

import numpy as np
import pytest

from ripu_ray.config import Config, load_config
from ripu_ray.errors import ConfigError
from ripu_ray.runs.grid import schedule_steps, warmup_key
from tests.conftest import TINY
from tests.data.folders import write_data_set
from tests.running import run_all


def load_small(root: Path, *settings: str) -> Config:
    """Two rounds on the pictures of `write_data_set`."""
    own = (
        f"data={{dataset: folder, root: {root}, source: day, target: dusk}}",
        "strategy.budget=20",
        "cluster.scorers=0",
        "training.source_batch=2",
        "training.target_batch=2",
    )
    return load_config(None, (*TINY[4:], *own, *settings))


def test_a_source_free_run_opens_no_source(tmp_path: Path) -> None:
    write_data_set(tmp_path / "data")
    config = load_small(tmp_path / "data")
    source_only = run_all(tmp_path / "first", config)
    weights = source_only.warmup(warmup_key(config)).weights
    (tmp_path / "data/day").rename(tmp_path / "elsewhere")
    settings = ("training.source_free=true", "training.warmup_steps=0", f"model.init_from={weights}")
    free = load_small(tmp_path / "data", *settings)
    run = run_all(tmp_path / "free", free)
    (trial_id,) = run.trials
    start = run.warmup(warmup_key(free)).read()
    before = source_only.warmup(warmup_key(config)).read()
    assert (start.step, start.losses, start.miou) == (0, {}, before.miou)
    for index in range(2):
        record = run.trial(trial_id).stage(index).read()
        assert record.losses.keys() == {"target_cross_entropy", "negative_learning", "total"}
        assert record.step == 2 * (index + 1)
        assert record.clicks > 0
        total = record.losses["target_cross_entropy"] + record.losses["negative_learning"]
        assert record.losses["total"] == pytest.approx(total, rel=1e-5)


def test_a_pretrained_encoder_needs_no_source(tmp_path: Path) -> None:
    write_data_set(tmp_path / "data")
    (tmp_path / "data/day").rename(tmp_path / "elsewhere")
    start = ("training.source_free=true", "training.warmup_steps=0", "model.name=efficientnet_lite0")
    run = run_all(tmp_path / "run", load_small(tmp_path / "data", *start))
    (trial_id,) = run.trials
    assert run.config.model.pretrained == "imagenet"
    records = [run.trial(trial_id).stage(index).read() for index in range(2)]
    assert [record.step for record in records] == [2, 4]
    assert [record.clicks > 0 for record in records] == [True, True]


def test_a_warm_up_serves_trials_with_and_without_source(tmp_path: Path) -> None:
    flags = {"sweep.vary": ["training.source_free=false,true"]}
    run = run_all(tmp_path / "run", load_config(None, (*TINY, "cluster.scorers=0"), flags))
    assert len(run.warmups) == 1
    records = {name: run.trial(name).stage(1).read() for name in run.trials}
    both, free = (records[f"region-w3-ripu-b5-source_free={free}-s0"] for free in ("false", "true"))
    assert free.losses.keys() == {"target_cross_entropy", "negative_learning", "total"}
    assert both.losses.keys() > free.losses.keys()
    assert both.step == free.step == 3 + 2 + 2


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (["training.warmup_steps=0"], "starts either from model.init_from"),
        (["training.warmup_steps=0", "model.name=deeplabv2"], "or from pretrained weights"),
        (["model.init_from=w.pt"], "or from a warm-up on the source, without"),
    ],
)
def test_source_free_starts_from_a_checkpoint_or_a_warm_up(settings: list[str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load_config(None, ["training.source_free=true", *settings])


def test_the_last_round_may_be_longer(tmp_path: Path, tiny: Config) -> None:
    training = tiny.training.model_copy(update={"last_round_steps": 4, "source_sampling": "rarity"})
    config = tiny.model_copy(update={"training": training})
    assert schedule_steps(config) == 3 + (2 + 4) + 2
    run = run_all(tmp_path / "run", config)
    (trial_id,) = run.trials
    steps = [run.trial(trial_id).stage(index).read().step for index in range(2)]
    assert steps == [3 + 2, 3 + 2 + 4]
    assert np.isfinite(run.trial(trial_id).stage(1).read().losses["source_cross_entropy"])

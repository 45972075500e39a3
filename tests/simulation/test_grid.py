"""The grid and the sharing of warm-ups."""

from ripu_ray.config import Config, load_config
from ripu_ray.simulation.grid import expand, schedule_steps, warmup_key


def test_every_list_is_a_dimension() -> None:
    flags = {
        "sweep.budgets": ["2.2", "40px"],
        "sweep.modes": ["region", "pixel"],
        "sweep.windows": ["3", "9"],
        "sweep.acquisitions": ["ripu", "random", "entropy"],
        "sweep.seeds": ["0", "1"],
    }
    trials = expand(load_config(flags=flags))
    assert len(trials) == len({trial.trial_id for trial in trials}) == 2 * 2 * 2 * 3 * 2
    assert trials[0].trial_id == "region-w3-ripu-b2.2-s0"
    assert {trial.config.strategy.window for trial in trials} == {3, 9}
    assert {trial.config.strategy.radius for trial in trials} == {1, 4}
    assert all(not trial.config.sweep.budgets for trial in trials)


def test_no_lists_make_the_one_trial_of_the_strategy() -> None:
    (trial,) = expand(load_config(None, ["strategy.mode=pixel", "seed=7"]))
    assert trial.trial_id == "pixel-w9-ripu-b2.2-s7"


def test_a_warmup_is_shared_by_what_does_not_touch_it() -> None:
    def key(*settings: str) -> str:
        return warmup_key(load_config(None, settings))

    same = {
        key(),
        key("strategy.budget=5"),
        key("strategy.acquisition=random"),
        key("strategy.mode=pixel"),
        key("cluster.scorers=0"),
        key("tracking.wandb=disabled"),
    }
    assert len(same) == 1
    different = [
        key("seed=1"),
        key("data.num_source=9"),
        key("model.width=8"),
        key("training.warmup_steps=9"),
        key("strategy.rounds=4"),
        key("cluster.train_workers=2"),
    ]
    assert len(same | set(different)) == 1 + len(different)


def test_the_schedule_ends_one_round_after_the_last() -> None:
    training = Config().training
    assert schedule_steps(Config()) == training.warmup_steps + 6 * training.round_steps
    assert schedule_steps(load_config(None, ["training.schedule_steps=62500"])) == 62500

"""The grid and the sharing of warm-ups."""

import pytest

from ripu_ray.config import Config, Power, load_config
from ripu_ray.data.synthetic.images import SyntheticData
from ripu_ray.errors import ConfigError
from ripu_ray.runs.grid import expand, schedule_steps, shared_warmups, warmup_key


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


def test_any_other_setting_can_be_a_dimension() -> None:
    vary = ["data.shift=0,1.5", "training.source_free=false,true"]
    trials = expand(load_config(flags={"sweep.vary": vary, "sweep.seeds": [0, 1]}))
    assert len({trial.trial_id for trial in trials}) == 2 * 2 * 2
    assert trials[-1].trial_id == "region-w3-ripu-b2.2-shift=1.5-source_free=true-s1"
    assert len({trial.arm for trial in trials}) == 4
    last = trials[-1].config
    assert last.data == SyntheticData(shift=1.5)
    assert last.training.source_free
    assert len({warmup_key(trial.config) for trial in trials}) == 2 * 2  # shift and seed; source-free trials share


def test_a_varied_list_fits_a_file_name() -> None:
    (trial,) = expand(load_config(flags={"sweep.vary": {"data.size": [[8, 16]]}}))
    assert trial.arm == "region-w3-ripu-b2.2-size=_8__16_"


@pytest.mark.parametrize(
    ("vary", "says"),
    [
        (["data.shift=9"], r"sweep\.vary data\.shift=9: data\.shift: .* less than or equal to 3"),
        (["data.shfit=1"], r"data\.shfit: unknown key"),
        (["strategy.budget=1,2"], r"strategy\.budget: has a list of its own, sweep\.budgets"),
        (["strategy.windows.pixel=1"], r"has a list of its own, sweep\.windows"),
        (["strategy={power: 1}"], r"vary strategy: expected one of its settings, such as strategy\.power"),
        (["model.options={}", "model={width: 8}"], r"vary model: contains model\.options, which varies, too"),
        (["cluster.threads=1,2"], r"expected a setting of data, model, training, strategy"),
        (["data.shift=1,1"], r"vary data\.shift: 1 is there more than once"),
        (["data.shift=1,1.0"], r"vary data\.shift: 1 and 1\.0 are the same value"),
        (["model.init_from=a,./a"], r'vary model\.init_from: ".*a" and ".*a" are the same value'),
        (["strategy.power=1,null,1e0"], r"strategy\.power: 1 and \"1e0\" are the same value"),
        (["data.shift=1", "data.shift=2"], r"each key once"),
        (["data.shift"], r"expected key=value,value"),
        (["data.shift=[1"], r"expected key=value,value"),
    ],
)
def test_what_cannot_be_varied_gets_one_line(vary: list[str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        expand(load_config(flags={"sweep.vary": vary}))


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


def test_what_spreads_a_purchase_is_part_of_the_arm_where_it_is_not_the_default() -> None:
    flags = {"sweep.vary": {"strategy.allocation": ["per_image", "pool"], "strategy.power": [None, 1, 0.5]}}
    arms = [trial.arm for trial in expand(load_config(None, ["strategy.balanced=true"], flags))]
    name = "region-w3-ripu-b2.2"
    assert arms == [f"{name}{pool}{power}-balanced" for pool in ("", "-pool") for power in ("", "-power1", "-power0.5")]
    for power, name in (("1", "power1"), ("1 -> 100", "power1to100"), ("0.5->0.5", "power0.5")):
        (trial,) = expand(load_config(None, [f"strategy.power={power}"]))
        assert trial.trial_id == f"region-w3-ripu-b2.2-{name}-s0"


@pytest.mark.parametrize(
    ("settings", "vary", "acquisitions", "arms"),
    [
        ([], "strategy.power=null,1,2", ["random"], ["region-w3-random-b2.2"]),
        ([], "strategy.power=1,2", ["random"], ["region-w3-random-b2.2"]),
        *(
            (
                [setting],
                "strategy.power=null,1",
                ["random"],
                [f"region-w3-random-b2.2{power}-{part}" for power in ("", "-power1")],
            )
            for setting, part in (
                ("strategy.class_share=0.5", "classes0.5"),
                ("strategy.avoid_void=learned", "learned_void"),
            )
        ),
        (
            [],
            "strategy.power=null,1",
            ["ripu", "random"],
            ["region-w3-ripu-b2.2", "region-w3-random-b2.2", "region-w3-ripu-b2.2-power1"],
        ),
        ([], "strategy.balanced=false,true", ["random"], ["region-w3-random-b2.2", "region-w3-random-b2.2-balanced"]),
        ([], "strategy.balanced=false,true", ["random_balanced"], ["region-w3-random_balanced-b2.2"]),
        ([], "stopping.min_gain=0.1,0.2", ["ripu"], ["region-w3-ripu-b2.2"]),
        ([], "stopping.images=8,16", ["ripu"], ["region-w3-ripu-b2.2"]),
        (["stopping.rule=small_gain"], "stopping.window=2,3", ["ripu"], ["region-w3-ripu-b2.2"]),
        (
            ["stopping.rule=kappa_average"],
            "stopping.window=2,3",
            ["ripu"],
            ["region-w3-ripu-b2.2-window=2", "region-w3-ripu-b2.2-window=3"],
        ),
        (
            ["stopping.rule=small_gain"],
            "stopping.min_gain=0.1,0.2",
            ["ripu", "full"],
            ["region-w3-ripu-b2.2-min_gain=0.1", "full", "region-w3-ripu-b2.2-min_gain=0.2"],
        ),
        ([], "training.momentum=0,0.9", ["ripu"], ["region-w3-ripu-b2.2"]),
        (["training.optimiser=sgd"], "training.momentum=0,0.9", ["full"], ["full-momentum=0", "full-momentum=0.9"]),
        ([], "oracle.noise.flips=0,0.1", ["source_only", "full"], ["source_only", "full-flips=0", "full-flips=0.1"]),
        ([], "training.target_batch=2,3", ["source_only"], ["source_only"]),
    ],
)
def test_arms_that_cannot_differ_are_one(
    settings: list[str], vary: str, acquisitions: list[str], arms: list[str]
) -> None:
    trials = expand(load_config(None, settings, {"sweep.vary": [vary], "sweep.acquisitions": acquisitions}))
    assert [trial.arm for trial in trials] == arms
    assert all(trial.config.strategy.power is None for trial in trials if trial.arm.endswith("random-b2.2"))


def test_a_power_that_does_not_vary_stays_with_a_random_strategy() -> None:
    (trial,) = expand(load_config(None, ["strategy.power=1", "strategy.acquisition=random"]))
    assert (trial.arm, trial.config.strategy.power) == ("region-w3-random-b2.2-power1", Power.parse(1))


def test_shared_warmups_are_those_of_the_keys_of_all_trials() -> None:
    varied = {"sweep.seeds": [0, 1, 2], "sweep.vary": ["data.shift=0,1"], "sweep.acquisitions": ["ripu", "full"]}
    trials = expand(load_config(None, [], varied))
    shared = shared_warmups(trials)
    assert sorted(map(warmup_key, shared)) == sorted({warmup_key(trial.config) for trial in trials})
    assert len(shared) == 6

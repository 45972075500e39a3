"""Statistics against scipy's own answers and values worked out by hand."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ripu_ray.reporting.statistics import (
    compare,
    outcomes,
    pixels_to_reach,
    summarise,
    win_matrix,
)
from ripu_ray.reporting.summary import unmeasured
from tests.reporting.tables import make_results

SEEDS = 6


@pytest.fixture(scope="module")
def results() -> pd.DataFrame:
    return make_results(acquisitions=("random", "entropy", "ripu"), budgets=("2.2", "5"), seeds=SEEDS)


def test_mean_and_deviation_over_the_seeds_of_each_arm(results: pd.DataFrame) -> None:
    table = summarise(outcomes(results)).set_index(["condition", "strategy"])
    last = results[(results["round"] == 4) & (results["budget"] == "5") & (results["acquisition"] == "ripu")]["miou"]
    row = table.loc[[("5 %", "ripu")]].iloc[0]
    assert row["seeds"] == SEEDS
    assert row["miou_mean"] == pytest.approx(last.mean())
    assert row["miou_std"] == pytest.approx(math.sqrt(((last - last.mean()) ** 2).sum() / (SEEDS - 1)))
    assert row["miou_low"] < row["miou_mean"] < row["miou_high"]


def test_references_stand_beside_the_strategies_and_are_not_compared(results: pd.DataFrame) -> None:
    finished = outcomes(results)
    assert {"full", "source_only"} <= set(summarise(finished)["strategy"])
    assert set(compare(finished, "miou")["first"]) == {"ripu", "entropy"}
    assert list(win_matrix(finished, "miou")) == ["random", "entropy", "ripu"]


@pytest.mark.parametrize("metric", ["miou", "aubc"])
def test_tests_are_scipy_s_on_the_pairs_of_a_seed(results: pd.DataFrame, metric: str) -> None:
    finished = outcomes(results)
    values = finished[finished["budget"] == "2.2"].pivot_table(index="seed", columns="acquisition", values=metric)
    table = compare(finished, metric)
    table = table[table["condition"] == "2.2 %"].set_index("first")
    for name in ("ripu", "entropy"):
        row = table.loc[[name]].iloc[0]
        assert row["second"] == "random"
        assert row["t_p"] == pytest.approx(stats.ttest_rel(values[name], values["random"]).pvalue)
        assert row["wilcoxon_p"] == pytest.approx(stats.wilcoxon(values[name], values["random"]).pvalue)
        differences = values[name] - values["random"]
        assert row["difference"] == pytest.approx(differences.mean())
        assert row["std"] == pytest.approx(differences.std())
        assert (row["wins"], row["losses"]) == ((differences > 0).sum(), (differences < 0).sum())
    smaller, larger = sorted(table["t_p"])
    assert sorted(table["t_holm"]) == pytest.approx(sorted([min(2 * smaller, 1), max(2 * smaller, larger)]))


def test_below_five_seeds_there_is_no_test() -> None:
    results = make_results(acquisitions=("random", "ripu"), budgets=("5",), seeds=4)
    table = compare(outcomes(results), "miou")
    assert table["seeds"].tolist() == [4]
    assert table[["t_p", "wilcoxon_p", "t_holm", "wilcoxon_holm"]].isna().all(axis=None)
    assert table["difference"].notna().all()


def test_arms_that_cannot_differ_do_not_weaken_the_other_tests(results: pd.DataFrame) -> None:
    alone = compare(outcomes(results), "miou").set_index(["condition", "first"])
    # The setting has no effect on the copies: `random` is the same at every power.
    copies = [
        results.assign(power=power, trial=results["trial"] + str(power))[
            (power == 1) | (results["acquisition"] == "random").to_numpy()
        ]
        for power in (1.0, 2.0, 3.0)
    ]
    table = compare(outcomes(pd.concat(copies, ignore_index=True)), "miou")
    equal = table[table["family"].isna()]
    assert equal["condition"].tolist() == ["2.2 %"] * 3 + ["5 %"] * 3
    assert (equal[["difference", "low", "high", "wins", "losses"]] == 0).all(axis=None)
    assert equal[["t_p", "wilcoxon_p", "t_holm", "wilcoxon_holm"]].isna().all(axis=None)
    for row in table[table["family"].notna()].to_dict("records"):
        before = alone.loc[[(row["condition"], row["first"].split(", ")[0])]].iloc[0]
        assert (row["t_holm"], row["family"]) == (pytest.approx(before["t_holm"]), 2)
    # Two names of one arm are compared with random once.
    twice = results[results["acquisition"] == "entropy"].replace({"acquisition": {"entropy": "margin"}})
    twice = compare(outcomes(pd.concat([results, twice.assign(trial=twice["trial"] + "m")])), "miou")
    named = twice.set_index(["condition", "first"])
    assert sorted(set(named.index)) == sorted([*alone.index, ("2.2 %", "margin"), ("5 %", "margin")])
    pd.testing.assert_frame_equal(named.loc[alone.index], alone)
    assert named["t_holm"][("5 %", "margin")] == named["t_holm"][("5 %", "entropy")]
    # An equal mIoU with other purchases is a tie, not the same arm.
    tied = results.assign(miou=0.5)
    assert compare(outcomes(tied), "miou")["t_p"].eq(1).all()


def test_rounding_errors_are_no_differences_and_no_spread() -> None:
    # 0.1 + 0.2 is not 0.3, and 0.7 - 0.6 not 0.1.
    results = _curves(
        random=[[0, 0, 0.3]] * 6,
        ripu=[[0, 0, 0.1 + 0.2]] * 3 + [[0, 0, 0.3]] * 3,
        entropy=[[0, 0, 0.3 + 0.1]] * 3 + [[0, 0, 0.7 - 0.3]] * 3,
    )
    results["spent_pixels"] += results["acquisition"].map({"random": 0, "ripu": 1, "entropy": 2})
    finished = outcomes(results)
    table = compare(finished, "miou").set_index("first")
    same, constant = table.loc[["ripu"]], table.loc[["entropy"]]
    assert same[["difference", "std", "low", "high", "wins", "losses"]].eq(0).all(axis=None)
    assert same[["t_p", "wilcoxon_p"]].eq(1).all(axis=None)
    assert constant["std"].eq(0).all()
    assert constant[["low", "high", "t_p", "wilcoxon_p", "t_holm", "wilcoxon_holm"]].isna().all(axis=None)
    assert table["family"].tolist() == [1, 1]
    assert win_matrix(finished, "miou").loc["ripu", "random"] == 0.5


def test_wilcoxon_is_left_out_where_the_correction_leaves_it_no_chance() -> None:
    for names, has_p in ((("random", "ripu"), True), (("random", "entropy", "ripu"), False)):
        # 6 seeds: the smallest p is 1/32, and twice that is above 0.05.
        table = compare(outcomes(make_results(acquisitions=names, budgets=("5",), seeds=6)), "miou")
        assert table["wilcoxon_p"].notna().all()
        assert table["wilcoxon_holm"].notna().all() == has_p
        assert table["t_holm"].notna().all()


def test_missing_seeds_and_nan_are_left_out_of_a_pair_alone(results: pd.DataFrame) -> None:
    last = (results["round"] == 4) & (results["budget"] == "5")
    gone = results[~(last & (results["acquisition"] == "entropy") & (results["seed"] == 0))]
    gone = gone.assign(
        miou=gone["miou"].mask((gone["round"] == 4) & (gone["acquisition"] == "ripu") & (gone["seed"] == 1)),
        rounds=results.groupby("trial")["round"].transform("max") + 1,
    )
    finished = outcomes(gone)
    for metric in ("miou", "aubc"):
        table = compare(finished, metric).set_index(["condition", "first"])
        assert table["seeds"].to_dict() == {
            ("2.2 %", "entropy"): SEEDS,
            ("2.2 %", "ripu"): SEEDS - 1,
            ("5 %", "entropy"): SEEDS - 1,
            ("5 %", "ripu"): SEEDS - 1,
        }
        assert table[["difference", "low", "high", "t_holm"]].notna().all(axis=None)
    means = summarise(finished).set_index(["condition", "strategy"])
    assert means["seeds"][("5 %", "ripu")] == SEEDS - 1
    assert means.loc[[("5 %", "ripu")]].notna().all(axis=None)
    nothing = gone.assign(miou=gone["miou"].mask(gone["acquisition"] == "ripu"))
    assert compare(outcomes(nothing), "miou")["first"].unique().tolist() == ["entropy"]
    assert "ripu" not in set(summarise(outcomes(nothing))["strategy"])
    assert unmeasured(finished) == [
        f"ripu, {budget}: the mIoU of 1 finished trial is NaN and left out of means and comparisons (seed 1)."
        for budget in ("2.2 %", "5 %")
    ]
    assert unmeasured(outcomes(nothing))[0].endswith("(seeds 0, 1, 2, 3, 4 and 5).")
    assert len(unmeasured(outcomes(gone.assign(miou=np.nan)))) == 1


def test_one_seed_has_no_spread(results: pd.DataFrame) -> None:
    finished = outcomes(results[results["seed"] == 0])
    for table in (summarise(finished), compare(finished, "miou")):
        assert table.filter(regex="std|low|high|_p$|_holm$").isna().all(axis=None)
        assert table.filter(regex="miou_mean|difference").notna().all(axis=None)


def _curves(**mious: list[list[float]]) -> pd.DataFrame:
    """One budget, shares 0, 10 and 20 %, 1000 pixels; by acquisition and seed the mIoU of each round."""
    rows = [
        {
            "trial": f"{name}-s{seed}",
            "mode": "region",
            "window": 3,
            "acquisition": name,
            "budget": "20",
            "seed": seed,
            "round": number - 1,
            "spent_pixels": 1000 if name == "full" and number else 100 * number,
            "spent_share": 1.0 if name == "full" and number else 0.1 * number,
            "miou": miou,
        }
        for name, seeds in mious.items()
        for seed, curve in enumerate(seeds)
        for number, miou in enumerate(curve)
    ]
    return pd.DataFrame(rows)


def test_wins_are_counted_pair_by_pair() -> None:
    results = _curves(
        random=[[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0.5], [0, 0, 0.5]],
        ripu=[[0, 0, 0.6], [0, 0, 0.4], [0, 0, 0.5], [0, 0, 0.9]],
    )
    matrix = win_matrix(outcomes(results), "miou")
    assert matrix.loc["ripu", "random"] == (1 + 0 + 0.5 + 1) / 4
    assert matrix.loc["random", "ripu"] == (0 + 1 + 0.5 + 0) / 4
    assert math.isnan(float(matrix.to_numpy()[1, 1]))


def test_pixels_to_reach_a_share_of_full_supervision_by_hand() -> None:
    results = _curves(full=[[0.2, 0.5], [0.2, 0.5]], ripu=[[0.2, 0.4, 0.48], [0.2, 0.3, 0.35]])
    by_seed = pixels_to_reach(results, 0.9).set_index("seed")["pixels"]
    # 0.45 lies 5/8 of the way from 0.40 (100 pixels) to 0.48 (200 pixels); seed 1 never gets there.
    assert by_seed.tolist() == [pytest.approx(162.5), math.inf]
    assert pixels_to_reach(results, 0.4)["pixels"].tolist() == [0, 0]
    assert pixels_to_reach(results[results["acquisition"] != "full"], 0.9).empty


def test_aubc_of_a_trial_is_its_curve_s() -> None:
    finished = outcomes(_curves(ripu=[[0.2, 0.4, 0.6]]))
    assert finished["aubc"].tolist() == [pytest.approx((0.3 + 0.5) / 2)]


def test_a_trial_that_is_not_finished_does_not_count() -> None:
    results = _curves(random=[[0, 0, 0.5]] * 2, ripu=[[0, 0, 0.6]] * 2)
    partial = results[~((results["trial"] == "ripu-s1") & (results["round"] == 1))]
    assert outcomes(partial)["trial"].tolist() == ["random-s0", "random-s1", "ripu-s0"]
    # Where each trial says how many rounds it has, longer ones beside it do not matter.
    shorter = partial.assign(rounds=[1 if name == "ripu" else 2 for name in partial["acquisition"]])
    shorter = shorter[(shorter["round"] < 1) | (shorter["acquisition"] == "random")]
    assert outcomes(shorter)["trial"].tolist() == ["random-s0", "random-s1", "ripu-s0", "ripu-s1"]
    table = compare(outcomes(partial), "miou")
    assert table["seeds"].tolist() == [1]


def test_what_differs_names_the_strategies_and_what_is_given_the_conditions() -> None:
    results = _curves(ripu=[[0.2, 0.4, 0.6]], full=[[0.2, 0.5]])
    twice = [
        results.assign(
            **{"data.shift": shift, "training.source_free": free, "trial": results["trial"] + f"{shift}{free}"}
        )
        for shift in (0, 1)
        for free in (False, True)
    ]
    finished = outcomes(pd.concat(twice, ignore_index=True))
    assert set(finished["strategy"]) == {"not source_free", "source_free", "full, not source_free", "full, source_free"}
    given = {f"{budget}, data.shift {shift}" for budget in ("20 %", "any budget") for shift in (0, 1)}
    assert set(finished["condition"]) == given
    table = compare(finished, "miou")
    assert table[["condition", "first", "second"]].to_numpy().tolist() == [
        ["20 %, data.shift 0", "not source_free", "source_free"],
        ["20 %, data.shift 1", "not source_free", "source_free"],
    ]
    modes = pd.concat(
        [_curves(ripu=[[0, 0, 0.6]]), _curves(ripu=[[0, 0, 0.6]]).assign(mode="pixel", window=9, trial="p")]
    )
    assert outcomes(modes)["strategy"].tolist() == ["region", "pixel"]


def test_a_setting_that_was_varied_by_its_key_counts_once() -> None:
    plain = _curves(ripu=[[0, 0, 0.6]], random=[[0, 0, 0.5]])
    both = pd.concat([plain.assign(power=power, **{"strategy.power": power}) for power in (1.0, 2.0)])
    both["trial"] += both["power"].map(str)
    finished = outcomes(both)
    assert set(finished["strategy"]) == {"ripu, power 1", "ripu, power 2", "random, power 1", "random, power 2"}
    assert len(compare(finished, "miou")) == 4


def test_random_has_no_power_and_is_compared_with_all() -> None:
    random, *others = (_curves(**{name: [[0, 0, 0.6]]}) for name in ("random", "ripu", "entropy"))
    powers = [random.assign(power=np.nan), *(other.assign(power=1.0) for other in others)]
    finished = outcomes(pd.concat([table.assign(**{"strategy.power": table["power"]}) for table in powers]))
    pairs = compare(finished, "miou")[["first", "second"]].to_numpy().tolist()
    assert pairs == [["ripu, power 1", "random, no power"], ["entropy, power 1", "random, no power"]]


def test_without_a_pair_the_table_is_empty_and_has_its_columns() -> None:
    first, second = (_curves(ripu=[[0, 0, 0.6]]).assign(power=power, balanced=power == 2) for power in (1.0, 2.0))
    table = compare(outcomes(pd.concat([first, second.assign(trial="other")])), "miou")
    assert table.empty
    assert {"condition", "first", "second", "t_holm"} <= set(table)


def test_a_setting_that_is_off_has_a_name() -> None:
    plain = _curves(ripu=[[0, 0, 0.6]])
    both = pd.concat([plain.assign(power=np.nan), plain.assign(power=2.0, trial="p")])
    assert outcomes(both)["strategy"].tolist() == ["no power", "power 2"]

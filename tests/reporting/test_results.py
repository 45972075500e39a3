"""The table and the figure of a sweep, from a real run folder."""

import shutil
from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ripu_ray.api.names import setting_keys
from ripu_ray.config import Config, load_config, setting, to_tree
from ripu_ray.config.safe_yaml import walk
from ripu_ray.reporting.arms import add_names
from ripu_ray.reporting.figures import draw_curves
from ripu_ray.reporting.results import COSTS, collect, write_tables
from ripu_ray.reporting.statistics import compare, outcomes
from ripu_ray.reporting.tables import speeds
from ripu_ray.runs.run_folder import RunFolder
from tests.conftest import TINY
from tests.reporting.tables import make_results
from tests.running import run_all


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunFolder]:
    flags = {"sweep.budgets": ["5", "9px"], "sweep.seeds": [0, 1]}
    yield run_all(tmp_path_factory.mktemp("runs") / "r", load_config(None, (*TINY, "cluster.scorers=0"), flags))


def test_a_row_for_each_trial_and_round(run: RunFolder) -> None:
    results = collect(run)
    rounds = results.groupby("trial", sort=False)["round"].agg(list)
    assert rounds.to_dict() == {name: [-1, 0, 1] for name in run.trials}
    assert results["budget"].unique().tolist() == ["5", "9px"]
    assert results.loc[results["round"] == -1, "spent_pixels"].eq(0).all()
    # The warm-up is shared by the budgets of a seed, so that their curves start in one point.
    assert results[results["round"] == -1].groupby("seed")["miou"].nunique().eq(1).all()
    last = results[results["round"] == 1].set_index("trial")
    pool_pixels = 5 * 32 * 48
    assert np.allclose(last["spent_share"], last["spent_pixels"] / pool_pixels)
    assert last.loc["region-w3-ripu-b5-s0", "budget_pixels"] == 5 * (32 * 48 * 5 // 100)
    assert last.loc["region-w3-ripu-b9px-s0", "budget_pixels"] == 5 * 9
    assert {"iou_pole", "loss_total", "seconds_train", "accuracy"} <= set(results.columns)
    for column in COSTS.values():
        assert (results.groupby("trial")[column].diff().dropna() >= 0).all()
    bought = results.filter(regex="^bought_").sum(axis=1)
    assert (bought + results["void_pixels"]).tolist() == results["spent_pixels"].tolist()


def test_the_speed_of_training_is_in_results_and_report(tmp_path: Path) -> None:
    settings = ("cluster.scorers=0", "strategy.rounds=1", "tracking.log_every=1")
    results = collect(run_all(tmp_path / "run", load_config(None, (*TINY, *settings))))
    assert (results["speed_steps_per_s"] > 0).all()
    assert results["speed_data_wait_share"].between(0, 1).all()
    on_gpu = results.assign(speed_steps_per_s=19.04, speed_gpu_memory_gib=21.5, speed_peak_share=[0.4, float("nan")])
    table = speeds(add_names(on_gpu))
    assert table is not None
    assert table.columns == ("", "steps/s", "images/s", "waiting for data", "GPU memory, GiB", "of the GPU's peak")
    assert [(names, cells[0].text, cells[3].text, cells[4].text) for names, cells in table.rows] == [
        (["warm-up"], "19", "21.5", "40 %"),
        (["ripu"], "19", "21.5", "–"),
    ]
    assert speeds(add_names(results.filter(regex="^(?!speed_)"))) is None


def test_what_varies_has_a_column(tmp_path: Path) -> None:
    flags = {"sweep.vary": ["data.shift=0,1"]}
    run = run_all(tmp_path / "run", load_config(None, (*TINY, "cluster.scorers=0", "strategy.rounds=1"), flags))
    results = collect(run)
    assert results.groupby("trial")["data.shift"].first().to_dict() == {
        "region-w3-ripu-b5-shift=0-s0": 0,
        "region-w3-ripu-b5-shift=1-s0": 1,
    }
    assert results["arm"].unique().tolist() == ["region-w3-ripu-b5-shift=0", "region-w3-ripu-b5-shift=1"]


def test_a_setting_without_effect_has_no_value_and_no_name(tmp_path: Path) -> None:
    flags = {"sweep.vary": ["training.teacher=none,ema", "training.teacher_threshold=0.25,0.95"]}
    run = run_all(tmp_path / "run", load_config(None, (*TINY, "cluster.scorers=0", "strategy.rounds=1"), flags))
    results = collect(run)
    assert results.drop_duplicates("arm")["training.teacher_threshold"].tolist() == pytest.approx(
        [np.nan, 0.25, 0.95], nan_ok=True
    )
    finished = outcomes(results)
    with_teacher = ["EMA teacher, teacher_threshold 0.25", "EMA teacher, teacher_threshold 0.95"]
    assert finished["strategy"].tolist() == ["no teacher", *with_teacher]
    pairs = compare(finished, "miou")[["first", "second"]].to_numpy().tolist()
    assert pairs == [*(["no teacher", other] for other in with_teacher), with_teacher]


def test_an_unset_setting_of_a_preset_is_named_after_it() -> None:
    unset: dict[str, Any] = {"power": np.nan, "balanced": False, "class_share": np.nan}
    values = {"clasp_pe": unset, "random_balanced": unset, "ripu": {"power": 1.0, "balanced": True, "class_share": 0.0}}
    table = pd.DataFrame([{"acquisition": name, "budget": "5", **row} for name, row in values.items()])
    assert add_names(table)["strategy"].tolist() == [
        "clasp_pe, power by preset, not balanced, class share by preset",
        "random_balanced, no power, balanced by preset, no class share",
        "ripu, power 1, balanced, class share 0",
    ]


def test_close_values_have_different_names() -> None:
    table = pd.DataFrame({"acquisition": "ripu", "budget": "5", "class_share": [0.1234561, 0.1234562, 0.1]})
    names = [f"class share {share}" for share in ("0.1234561", "0.1234562", "0.1")]
    assert add_names(table)["strategy"].tolist() == names


def test_references_of_other_steps_have_other_names(tmp_path: Path) -> None:
    flags = {"sweep.vary": ["strategy.rounds=1,2", "training.last_round_steps=null,1"], "sweep.acquisitions": ["full"]}
    run = run_all(tmp_path / "run", load_config(None, (*TINY, "cluster.scorers=0"), flags))
    results = outcomes(collect(run))
    lasts = ("no last_round_steps", "last_round_steps 1")
    assert results["strategy"].tolist() == [f"full, rounds {rounds}, {last}" for rounds in (1, 2) for last in lasts]
    assert results["step"].tolist() == [5, 4, 7, 6]


def test_each_setting_has_a_value_also_where_the_tree_leaves_out_its_default() -> None:
    """Settings that came later are left out of `to_tree` where they have their defaults. They can be varied."""
    config = Config()
    tree = to_tree(config)
    keys = [key for key in setting_keys() if not key.startswith("data.")]
    assert {"training.teacher", "training.augmentation.flip", "model.head"} <= {*keys} - {key for key, _ in walk(tree)}
    for key in keys:
        assert (setting(config, key, tree) is None) == (reduce(getattr, key.split("."), config) is None), key
    assert setting(config, "training.augmentation.scale", tree) == [1, 1]
    assert setting(config, "training.augmentation", tree) == {"flip": 0, "scale": [1, 1], "jitter": 0, "blur": 0}


def test_the_tables_read_back_the_same(run: RunFolder) -> None:
    results = collect(run)
    write_tables(run, results)
    read = pd.read_csv(run.path / "results.csv", dtype={"budget": str})
    pd.testing.assert_frame_equal(read, results, check_dtype=False)
    pd.testing.assert_frame_equal(pd.read_parquet(run.path / "results.parquet"), results)


def test_each_strategy_is_one_line_with_its_band(run: RunFolder) -> None:
    results = collect(run)
    (axes,) = draw_curves(results).axes
    labels = [text.get_text() for text in axes.get_legend().get_texts()]  # type: ignore[union-attr]
    assert labels == ["ripu, 5 % (2 seeds)", "ripu, 9 px (2 seeds)"]
    assert len(axes.collections) == 2
    for line, (_, rows) in zip(axes.lines, results.groupby("budget", sort=False), strict=True):
        means = rows.groupby("round")[["spent_share", "miou"]].mean() * 100
        assert np.allclose(np.column_stack(line.get_data()), means.to_numpy())


def test_curves_have_the_names_of_the_statistics_and_references_are_level() -> None:
    results = make_results(acquisitions=("random", "ripu"), budgets=("5",), seeds=2)
    twice = [results.assign(**{"training.source_free": free, "trial": results["trial"] + str(free)}) for free in (0, 1)]
    (axes,) = draw_curves(pd.concat(twice, ignore_index=True)).axes
    labels = [text.get_text() for text in axes.get_legend().get_texts()]  # type: ignore[union-attr]
    bought = [f"{name}, source_free {free}, 5 % (2 seeds)" for free in (0, 1) for name in ("random", "ripu")]
    levels = [f"{name}, source_free {free}" for free in (0, 1) for name in ("source_only", "full")]
    assert sorted(labels) == sorted(bought + levels)
    full = results[(results["acquisition"] == "full") & (results["round"] == 0)]["miou"].mean()
    assert axes.lines[labels.index("full, source_free 0")].get_ydata() == pytest.approx([100 * full] * 2)


def test_weights_may_be_gone(run: RunFolder, tmp_path: Path) -> None:
    copy = RunFolder(shutil.copytree(run.path, tmp_path / "copy", ignore=shutil.ignore_patterns("weights.pt")))
    pd.testing.assert_frame_equal(collect(copy), collect(run))

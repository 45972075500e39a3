"""The colours of tables: none within the noise."""

import numpy as np
import pandas as pd

from ripu_ray.reporting.arms import add_names
from ripu_ray.reporting.shaded import apart, baselines, class_ious, heat_map
from ripu_ray.reporting.statistics import outcomes
from tests.reporting.tables import make_results


def test_of_equal_arms_one_cell_in_twenty_is_coloured() -> None:
    rng = np.random.default_rng(0)
    columns = [f"iou_{number}" for number in range(500)]
    arms = [{"strategy": name, "acquisition": name, "seed": seed} for name in "abcde" for seed in range(5)]
    there = pd.concat([pd.DataFrame(arms), pd.DataFrame(rng.normal(size=(25, 500)), columns=columns)], axis=1)
    seen = apart(there, baselines(there), columns)
    assert 0.03 <= len(seen) / (4 * 500) <= 0.07
    better = there.assign(iou_0=there["iou_0"] + 100 * (there["strategy"] == "c"))
    assert 95 < apart(better, baselines(better), columns)["c", "iou_0"] < 105
    once = there[there["seed"] == 0]
    assert apart(once, baselines(once), columns) == {}


def test_what_a_cell_is_compared_with_does_not_depend_on_results() -> None:
    finished = outcomes(make_results(("random", "ripu", "entropy"), windows=(3, 9)))
    there = finished[finished["condition"] == "5 %"]
    assert baselines(there[~there["acquisition"].isin(["source_only", "full"])]) == {
        **dict.fromkeys(("ripu, 3x3", "entropy, 3x3"), "random, 3x3"),
        **dict.fromkeys(("ripu, 9x9", "entropy, 9x9"), "random, 9x9"),
    }  # fmt: skip


def test_a_gain_is_warm_a_loss_is_cold_and_one_seed_has_no_colours() -> None:
    results = make_results(("random", "ripu"), windows=(3, 9))
    for name, shift in (("iou_road", 0.5), ("iou_sky", -0.5), ("miou", 0.5)):
        results[name] += shift * ((results["acquisition"] == "ripu") & (results["window"] == 9))
    table, windows = class_ious(outcomes(results)), heat_map(outcomes(results))
    heats = {names[1]: [cell.heat for cell in cells] for names, cells in table.rows if names[0] == "5 %"}
    road, sky, _ = heats["ripu, 9x9"]
    assert road is not None
    assert sky is not None
    assert sky < 0 < road
    assert heats["random, 3x3"] == heats["random, 9x9"] == [None] * 3
    assert "from random, paired over seeds" in table.note
    assert windows is not None
    coloured = {tuple(names): [cell.heat is not None for cell in cells] for names, cells in windows.rows}
    assert coloured["ripu", "9×9"] == [True, True]
    assert coloured["ripu", "3×3"] == [False, False]
    single = class_ious(outcomes(add_names(results[results["seed"] == 0])))
    assert not [cell for _, cells in single.rows for cell in cells if cell.heat is not None]

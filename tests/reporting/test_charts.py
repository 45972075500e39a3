"""The axes that the panels of the report share."""

import pytest

from ripu_ray.reporting.charts import Axes


@pytest.mark.parametrize(
    ("levels", "below"),
    [
        ({}, []),
        ({"full": 0.6}, [("full", False)]),
        ({"full": 0.6, "source_only": 0.3}, [("source_only", False), ("full", False)]),
        ({"full": 0.6, "source_only": 0.59}, [("source_only", True), ("full", False)]),
    ],
)
def test_labels_of_close_levels_are_on_different_sides(levels: dict[str, float], below: list[tuple[str, bool]]) -> None:
    axes = Axes(0.2, 0.7, 5.2, "clicks")
    assert [(name, is_below) for name, _, is_below, _ in axes.labelled(levels)] == below
    assert axes.ticks == [20, 30, 40, 50, 60, 70]

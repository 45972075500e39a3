"""The exponent of the score in a random choice: a number, or a schedule over the rounds."""

import pandas as pd
import pytest

from ripu_ray.config import Power, dump_config, load_config, to_tree
from ripu_ray.errors import ConfigError
from ripu_ray.reporting.arms import add_names
from ripu_ray.reporting.results import with_uniform_columns
from ripu_ray.runs.grid import expand


@pytest.mark.parametrize(
    ("text", "plain", "by_round"),
    [
        ("1", 1.0, [1, 1, 1]),
        ("0.5 -> 0.5", 0.5, [0.5, 0.5, 0.5]),
        ("1 -> 100", "1 -> 100", [1, 10, 100]),
        ("4->0.25", "4 -> 0.25", [4, 1, 0.25]),
    ],
)
def test_a_power_is_geometric_over_the_rounds(text: str, plain: object, by_round: list[float]) -> None:
    config = load_config(None, [f"strategy.power={text}"])
    power = config.strategy.power
    assert power
    assert [power.at(number, 3) for number in range(3)] == pytest.approx(by_round)
    assert power.at(0, 1) == by_round[0]
    assert to_tree(config)["strategy"]["power"] == plain
    assert Power.parse(plain) == power
    (trial,) = expand(load_config(None, [f"sweep.vary={{strategy.power: [{text}]}}"]))
    assert trial.config.strategy.power == power
    assert f"power: {plain}\n" in dump_config(config)


@pytest.mark.parametrize(
    "text", ["0", "-1", ".nan", "1 -> inf", "1001", "1 ->", "1 -> 2 -> 3", "true", "[1]", "a", "{}"]
)
def test_another_power_gets_one_line(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^strategy.power: power .* such as 1 -> 100$"):
        load_config(None, [f"strategy.power={text}"])


def test_a_schedule_is_named_in_tables() -> None:
    rows = [{"acquisition": "ripu", "budget": "5", "power": power} for power in (float("nan"), 1.0, "1 -> 100")]
    table = with_uniform_columns(pd.DataFrame(rows))
    assert table["power"].dropna().tolist() == ["1", "1 -> 100"]
    assert add_names(table)["strategy"].tolist() == ["no power", "power 1", "power 1 -> 100"]
    assert with_uniform_columns(pd.DataFrame(rows[:2]))["power"].dtype == float

"""The cost of a sweep on the console, apart from the tables of results: their libraries take a second to import."""

import ripu_ray as ripu
from ripu_cli.display import new_table, wide_console
from ripu_ray.errors import counted, printable

_MOST_ROWS = 100
"""Trials that are shown unless all are asked for: 10,000 rows take 12 s."""


def print_cost(plan: "ripu.Plan", each: bool) -> None:
    """Print the grid, and its cost in trials, rounds, steps and disk. Of many trials, `each` or the first ones."""
    table = new_table("trial", "mode", "window", "acquisition", "budget", "seed", "rounds", "steps")
    shown = plan.trials if each or len(plan.trials) <= _MOST_ROWS else plan.trials[:_MOST_ROWS]
    for trial in shown:
        strategy = trial.config.strategy
        steps = trial.config.num_round_steps()
        bought = ("-",) * 3 if strategy.is_reference else (strategy.mode, strategy.window, strategy.budget)
        mode, window, budget = map(str, bought)
        values = (mode, window, strategy.acquisition, budget, trial.config.seed, strategy.rounds, steps)
        table.add_row(trial.trial_id, *map(str, values))
    console = wide_console()
    console.print(table)
    if len(shown) < len(plan.trials):
        console.print(f"and {counted(len(plan.trials) - len(shown), 'more trial')}; --each shows all")
    for line in plan.lines:
        console.print(printable(line))

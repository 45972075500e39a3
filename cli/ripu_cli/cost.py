"""The cost of a sweep on the console, apart from the tables of results: their libraries take a second to import."""

from pathlib import Path

from ripu_cli.display import new_table, wide_console
from ripu_ray.config import Config
from ripu_ray.errors import counted, printable
from ripu_ray.reporting.words import size
from ripu_ray.runs.grid import expand, shared_warmups
from ripu_ray.simulation.estimate import weights_bytes

_MOST_ROWS = 100
"""Trials that are shown unless all are asked for: 10,000 rows take 12 s."""


def print_cost(config: Config, folder: Path, each: bool) -> None:
    """Print the grid, and its cost in trials, rounds, steps and disk. Of many trials, `each` or the first ones."""
    trials = expand(config)
    table = new_table("trial", "mode", "window", "acquisition", "budget", "seed", "rounds", "steps")
    shown = trials if each or len(trials) <= _MOST_ROWS else trials[:_MOST_ROWS]
    for trial in shown:
        strategy = trial.config.strategy
        steps = trial.config.num_round_steps()
        bought = ("-",) * 3 if strategy.is_reference else (strategy.mode, strategy.window, strategy.budget)
        mode, window, budget = map(str, bought)
        values = (mode, window, strategy.acquisition, budget, trial.config.seed, strategy.rounds, steps)
        table.add_row(trial.trial_id, *map(str, values))
    warmups = shared_warmups(trials)
    rounds = sum(trial.config.strategy.rounds for trial in trials)
    warmup_steps = sum(shared.training.warmup_steps for shared in warmups)
    round_steps = sum(trial.config.num_round_steps() for trial in trials)
    console = wide_console()
    console.print(table)
    if len(shown) < len(trials):
        console.print(f"and {counted(len(trials) - len(shown), 'more trial')}; --each shows all")
    console.print(
        f"{counted(len(trials), 'trial')}, {counted(rounds, 'round')}, {counted(warmup_steps + round_steps, 'step')} "
        f"({counted(len(warmups), 'shared warm-up')}: {warmup_steps}; rounds: {round_steps}), "
        f"into {printable(str(folder))}"
    )
    console.print(f"about {size(weights_bytes(trials))} of weights on disk; purchases, logs and pictures come on top")

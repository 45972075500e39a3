"""Tables on the console: the cost of a sweep, and its outcome."""

from pathlib import Path

import pandas as pd

from ripu_cli.display import new_table, wide_console
from ripu_ray.config import Config
from ripu_ray.reporting.results import REPORT
from ripu_ray.runs.grid import expand, warmup_key
from ripu_ray.runs.run_folder import RunFolder


def print_cost(config: Config, folder: Path) -> None:
    """Print the grid, and its cost in trials, rounds and steps."""
    trials = expand(config)
    table = new_table("trial", "mode", "window", "acquisition", "budget", "seed", "rounds", "steps")
    for trial in trials:
        strategy = trial.config.strategy
        steps = trial.config.num_round_steps()
        values = (strategy.mode, strategy.window, strategy.acquisition, strategy.budget, trial.config.seed)
        table.add_row(trial.trial_id, *map(str, values), str(strategy.rounds), str(steps))
    warmups = {warmup_key(trial.config): trial.config for trial in trials}
    rounds = sum(trial.config.strategy.rounds for trial in trials)
    warmup_steps = sum(shared.training.warmup_steps for shared in warmups.values())
    round_steps = sum(trial.config.num_round_steps() for trial in trials)
    console = wide_console()
    console.print(table)
    console.print(
        f"{len(trials)} trials, {rounds} rounds, {warmup_steps + round_steps} steps "
        f"({len(warmups)} shared warm-ups: {warmup_steps}; rounds: {round_steps}), into {folder}"
    )


def print_outcome(run: RunFolder, results: pd.DataFrame, trial_failures: dict[str, str]) -> None:
    """Print the mIoU of each trial by round, its cost, failures, and the paths of the results."""
    console = wide_console()
    if len(results):
        rounds = range(results["round"].max() + 1)
        columns = (*run.config.sweep.vary, "budget", "mode", "window", "acquisition", "seed")
        table = new_table(*columns, "start", *map(str, rounds), "spent", "clicks")
        for _, rows in results.groupby("trial", sort=False):
            last = rows.iloc[-1]
            measured = rows[rows["miou"].notna()]
            by_round = {i: f"{100 * miou:.1f}" for i, miou in zip(measured["round"], measured["miou"], strict=True)}
            table.add_row(
                *(str(last[name]) for name in columns),
                *(by_round.get(index, "") for index in (-1, *rounds)),
                f"{100 * last['spent_share']:.2f} %",
                str(last["clicks"]),
            )
        console.print(table)
        console.print("mIoU in per cent on the target's validation split, before the first round and after each")
    if trial_failures:
        failures = new_table("failed", "why")
        for name, reason in trial_failures.items():
            failures.add_row(_named(run, name), reason)
        console.print(failures)
    console.print(f"folder   {run.path}")
    console.print(f"results  {run.path / 'results.csv'}, {run.path / 'curves.png'}")
    if (run.path / REPORT).exists():
        console.print(f"report   {run.path / REPORT}")
    if list(run.path.glob("trials/*/wandb")):
        console.print(
            f"W&B      upload: wandb sync {run.path}/{{trials/*,summary}}/wandb/offline-run-*    "
            f"look: wandb leet {run.path}/trials/TRIAL/wandb"
        )


def _named(run: RunFolder, name: str) -> str:
    """The trial, or the trials that share a warm-up."""
    if name in run.trials:
        return name
    first, *others = (trial.trial_id for trial in run.trials.values() if warmup_key(trial.config) == name)
    return f"warm-up of {first}" + (f" and {len(others)} more" if others else "")

"""Tables on the console: the cost of a sweep, and its outcome."""

from pathlib import Path

import pandas as pd

from ripu_cli.display import new_table, wide_console
from ripu_ray.config import REFERENCES, Config
from ripu_ray.errors import printable
from ripu_ray.reporting.results import REPORT
from ripu_ray.runs.grid import expand, warmup_key
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.tracking.target import files_of


def print_cost(config: Config, folder: Path) -> None:
    """Print the grid, and its cost in trials, rounds and steps."""
    trials = expand(config)
    table = new_table("trial", "mode", "window", "acquisition", "budget", "seed", "rounds", "steps")
    for trial in trials:
        strategy = trial.config.strategy
        steps = trial.config.num_round_steps()
        bought = ("-",) * 3 if strategy.is_reference else (strategy.mode, strategy.window, strategy.budget)
        mode, window, budget = map(str, bought)
        values = (mode, window, strategy.acquisition, budget, trial.config.seed, strategy.rounds, steps)
        table.add_row(trial.trial_id, *map(str, values))
    warmups = {warmup_key(trial.config): trial.config for trial in trials}
    rounds = sum(trial.config.strategy.rounds for trial in trials)
    warmup_steps = sum(shared.training.warmup_steps for shared in warmups.values())
    round_steps = sum(trial.config.num_round_steps() for trial in trials)
    console = wide_console()
    console.print(table)
    console.print(
        f"{len(trials)} trials, {rounds} rounds, {warmup_steps + round_steps} steps "
        f"({len(warmups)} shared warm-ups: {warmup_steps}; rounds: {round_steps}), into {printable(str(folder))}"
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
            by_round = {index: f"{100 * miou:.1f}" for index, miou in zip(rows["round"], rows["miou"], strict=True)}
            absent = {"budget", "mode", "window"} if last["acquisition"] in REFERENCES else set()
            table.add_row(
                *("-" if name in absent else str(last[name]) for name in columns),
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
    place = printable(str(run.path))
    console.print(f"folder   {place}")
    found = [name for name in ("results.csv", "curves.png") if (run.path / name).exists()]
    if found:
        console.print(f"results  {', '.join(f'{place}/{name}' for name in found)}")
    if (run.path / REPORT).exists():
        console.print(f"report   {place}/{REPORT}")
    trials = files_of(run, "*", run.path / "trials/*")
    if list(trials.parent.glob("*/wandb")):
        shown = printable(str(trials.parent))
        both = f"{place}/{{trials/*,summary}}" if trials.parent == run.path / "trials" else f"{shown}/*"
        offline = list(trials.parent.glob("*/wandb/offline-run-*"))
        upload = f"upload: wandb sync {both}/wandb/offline-run-*    " if offline else ""
        console.print(f"W&B      {upload}look: wandb leet {shown}/TRIAL/wandb")


def _named(run: RunFolder, name: str) -> str:
    """The trial, or the trials that share a warm-up."""
    if name in run.trials:
        return name
    first, *others = (trial.trial_id for trial in run.trials.values() if run.warmup_key(trial.config) == name)
    return f"warm-up of {first}" + (f" and {len(others)} more" if others else "")

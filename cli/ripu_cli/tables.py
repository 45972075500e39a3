"""Tables on the console: the cost of a sweep, and its outcome."""

from collections import Counter
from pathlib import Path

import pandas as pd
from rich.table import Table

from ripu_cli.display import new_table, wide_console
from ripu_ray.config import REFERENCES, Config
from ripu_ray.errors import counted, printable
from ripu_ray.reporting.answer import against_random
from ripu_ray.reporting.naming import add_names
from ripu_ray.reporting.results import REPORT
from ripu_ray.reporting.statistics import compare, outcomes
from ripu_ray.reporting.words import size, span, spread
from ripu_ray.runs.grid import expand, warmup_key
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.simulation.estimate import weights_bytes
from ripu_ray.tracking.target import files_of


def print_cost(config: Config, folder: Path) -> None:
    """Print the grid, and its cost in trials, rounds, steps and disk."""
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
        f"{counted(len(trials), 'trial')}, {counted(rounds, 'round')}, {counted(warmup_steps + round_steps, 'step')} "
        f"({counted(len(warmups), 'shared warm-up')}: {warmup_steps}; rounds: {round_steps}), "
        f"into {printable(str(folder))}"
    )
    console.print(f"about {size(weights_bytes(trials))} of weights on disk; purchases, logs and pictures come on top")


def print_outcome(run: RunFolder, results: pd.DataFrame, trial_failures: dict[str, str], each: bool) -> None:
    """Print a row for each arm, or for each trial, then failures and the paths of the results."""
    console = wide_console()
    if len(results):
        is_alone = len(run.trials) == 1
        console.print(_trials(run, results) if each or is_alone else _arms(run, results))
        console.print(
            "mIoU in per cent on the target's validation split"
            + (", before the first round and after each" if each or is_alone else _ARM_WORDS)
        )
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


def _trials(run: RunFolder, results: pd.DataFrame) -> Table:
    """The mIoU of each trial by round, and its cost."""
    rounds = range(results["round"].max() + 1)
    columns = (*run.config.sweep.vary, "budget", "mode", "window", "acquisition", "seed")
    table = new_table(*columns, "start", *map(str, rounds), "spent", "clicks")
    for _, rows in results.groupby("trial", sort=False):
        last = rows.iloc[-1]
        measured = rows[rows["miou"].notna()]
        by_round = {i: f"{100 * miou:.1f}" for i, miou in zip(measured["round"], measured["miou"], strict=True)}
        table.add_row(
            *("-" if pd.isna(last[name]) else str(last[name]) for name in columns),
            *(by_round.get(index, "") for index in (-1, *rounds)),
            f"{100 * last['spent_share']:.2f} %",
            str(last["clicks"]),
        )
    return table


_ARM_WORDS = (
    " after the last round, mean ± standard deviation over seeds; against random: difference in points, paired over "
    "seeds, and its 95 % interval. --each shows every trial"
)


def _arms(run: RunFolder, results: pd.DataFrame) -> Table:
    """Mean and deviation of each arm over its finished trials, its difference from random, and its mean cost."""
    finished = outcomes(results)
    compared = compare(finished, "miou").to_dict("records")
    planned = Counter(trial.arm for trial in run.trials.values())
    table = new_table("budget", "strategy", "seeds", "start", "mIoU", "against random", "spent", "clicks")
    for (condition, strategy, arm), rows in add_names(results).groupby(["condition", "strategy", "arm"], sort=False):
        done = rows[rows["trial"].isin(finished["trial"])]
        last = done.groupby("trial", sort=False).tail(1)
        is_reference = rows["acquisition"].iloc[0] in REFERENCES
        against = against_random(str(strategy), [row for row in compared if row["condition"] == condition])
        table.add_row(
            "-" if is_reference else str(condition),
            str(strategy),
            str(len(last)) if len(last) == planned[str(arm)] else f"{len(last)} of {planned[str(arm)]}",
            spread(rows.loc[rows["round"] < 0, "miou"]),
            spread(last["miou"]),
            f"{100 * against['difference']:+.1f} ({span(against['low'], against['high'])})" if against else "",
            f"{100 * last['spent_share'].mean():.2f} %" if len(last) else "",
            f"{last['clicks'].mean():,.0f}" if len(last) else "",
        )
    return table


def _named(run: RunFolder, name: str) -> str:
    """The trial, or the trials that share a warm-up."""
    if name in run.trials:
        return name
    first, *others = (trial.trial_id for trial in run.trials.values() if run.warmup_key(trial.config) == name)
    return f"warm-up of {first}" + (f" and {len(others)} more" if others else "")

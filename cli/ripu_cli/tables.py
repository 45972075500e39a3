"""Tables on the console: the outcome of a sweep."""

from shlex import quote

import pandas as pd
from rich.table import Table

import ripu_ray as ripu
from ripu_cli.display import new_table, wide_console
from ripu_ray.errors import printable


def print_outcome(results: "ripu.Results", each: bool = False) -> None:
    """Print a row for each arm, or for each trial, then failures and the paths of the results."""
    console, run = wide_console(), results.run
    if len(results.frame):
        is_each = each or len(results.trials) == 1
        console.print(_trials(run, results.frame) if is_each else _arms(results.arms_table))
        console.print(
            "mIoU in per cent on the target's validation split"
            + ("; start: before the first round; 0, 1, ...: after each round" if is_each else _ARM_WORDS)
        )
    for line in results.notes:
        console.print(printable(line))
    if results.failures:
        failures = new_table("failed", "why")
        for name, reason in results.failures.items():
            failures.add_row(_named(run, name), reason)
        console.print(failures)
    place = printable(str(results.folder))
    console.print(f"folder   {place}", soft_wrap=True)
    found = [name for name in ("results.csv", "curves.png") if name in results.files]
    if found:
        console.print(f"results  {', '.join(f'{place}/{name}' for name in found)}", soft_wrap=True)
    if "report.html" in results.files:
        console.print(f"report   {place}/report.html", soft_wrap=True)
    trials = results.wandb_folder
    if list(trials.glob("*/wandb")):
        is_inside = trials == results.folder / "trials"
        root, kinds = (results.folder, ("warmups/*", "trials/*", "summary")) if is_inside else (trials, ("*",))
        offline = [kind for kind in kinds if list(root.glob(f"{kind}/wandb/offline-run-*"))]
        parts = "".join(offline) if len(offline) == 1 else f"{{{','.join(offline)}}}"
        place, below = (printable(quote(str(folder))) for folder in (root, trials))  # to be copied into a shell
        upload = f"upload: wandb sync {place}/{parts}/wandb/offline-run-*    " if offline else ""
        console.print(f"W&B      {upload}look: wandb leet {below}/TRIAL/wandb", soft_wrap=True)


def _trials(run: "ripu.RunFolder", results: pd.DataFrame) -> Table:
    """The mIoU of each trial by round, and its cost."""
    rounds = range(results["round"].max() + 1)
    columns = (*run.config.sweep.vary, "budget", "mode", "window", "acquisition", "seed")
    table = new_table(*columns, "start", *map(str, rounds), "spent", "labelled", "clicks")
    for _, rows in results.groupby("trial", sort=False):
        last = rows.iloc[-1]
        absent = {"budget", "mode", "window"} if last["acquisition"] in ripu.REFERENCES else set()
        measured = rows[rows["miou"].notna()]
        by_round = {i: f"{100 * miou:.1f}" for i, miou in zip(measured["round"], measured["miou"], strict=True)}
        table.add_row(
            *("-" if name in absent else str(last[name]) for name in columns),
            *(by_round.get(index, "") for index in (-1, *rounds)),
            f"{100 * last['spent_share']:.2f} %",
            f"{100 * last['labelled_share']:.1f} %" if last["spent_pixels"] else "-",
            str(last["clicks"]),
        )
    return table


_ARM_WORDS = (
    ", mean ± standard deviation over seeds; start: before the first round; mIoU: after the last; against random: "
    "difference in points, paired over seeds, and its 95 % interval. --each shows every trial"
)


def _arms(rows: list[dict[str, str]]) -> Table:
    """The rows of `Results.arms_table`."""
    table = new_table(*rows[0])
    for row in rows:
        table.add_row(*row.values())
    return table


def _named(run: "ripu.RunFolder", name: str) -> str:
    """The trial, or the trials that share a warm-up."""
    if name in run.trials:
        return name
    first, *others = (trial.trial_id for trial in run.trials.values() if run.warmup_key(trial.config) == name)
    return f"warm-up of {first}" + (f" and {len(others)} more" if others else "")

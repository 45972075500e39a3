"""`ripu compare`: the differences of two runs, as tables or as JSON."""

import json
from dataclasses import asdict

import typer
from rich.console import Console

import ripu_ray as ripu
from ripu_cli.display import new_table, wide_console
from ripu_ray.errors import printable


def compare(first: str, second: str, as_json: bool) -> None:
    """Compare two runs, or trials named as RUN:TRIAL; print one line of answer, then tables."""
    found = ripu.compare(first, second)
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=1, allow_nan=False))
        return
    typer.echo(printable(found.answer))
    console = wide_console()
    if found.settings:
        table = new_table("setting", "A", "B")
        for key, values in found.settings.items():
            table.add_row(key, *(json.dumps(value) for value in values))
        console.print(table)
    for number in range(len(found.pairs)):
        _print_pair(console, found, number)
    for side, names in (("A", found.only_first), ("B", found.only_second)):
        if names:
            typer.echo(printable(f"only in {side}: {', '.join(names)}"))


def _print_pair(console: Console, found: ripu.Comparison, index: int) -> None:
    pair = found.pairs[index]
    typer.echo(printable(pair.first if pair.first == pair.second else f"{pair.first} against {pair.second}"))
    if pair.problem:
        typer.echo(printable(f"purchases cannot be compared: {pair.problem}"))
    by_round = {overlap.round: overlap for overlap in pair.overlaps}
    table = new_table("round", "mIoU A", "mIoU B", "B - A", "in common %", "IoU of all bought %", "lowest IoU %")
    for number, (one, other) in pair.miou.items():
        overlap = by_round.get(number)
        shares = [f"{100 * share:.1f}" for share in (overlap.common_share, overlap.iou)] if overlap else ["", ""]
        worst = ", ".join(f"{name} {100 * iou:.0f}" for name, iou in overlap.worst.items()) if overlap else ""
        apart = "-" if one is None or other is None else f"{100 * (other - one):+.2f}"
        table.add_row(str(number), _percent(one), _percent(other), apart, *shares, worst)
    console.print(table)
    changed = {name: values for name, values in pair.iou.items() if values[0] != values[1]}
    if len(found.pairs) == 1 and changed:
        table = new_table("class", "IoU A", "IoU B")
        for name, values in changed.items():
            table.add_row(name, *map(_percent, values))
        console.print(table)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f}"

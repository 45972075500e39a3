"""Shared by the commands for the console: tables, and progress as bars on a terminal or lines elsewhere."""

from collections.abc import Iterable
from typing import TypeVar

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from ripu_ray.errors import printable

T = TypeVar("T")


class TextTable(Table):
    """A table whose cells are texts, with control characters as escapes."""

    def add_row(self, *cells: str) -> None:  # type: ignore[override]
        """Add a row."""
        super().add_row(*map(printable, cells))


def new_table(*columns: str) -> TextTable:
    """An empty table whose long cells are folded."""
    table = TextTable(box=SIMPLE_HEAD)
    for column in columns:
        table.add_column(printable(column), overflow="fold")
    return table


def text_console(stderr: bool = False) -> Console:
    """A console that prints names as they are: nothing in them is markup, a code of an emoji, or highlighted."""
    return Console(stderr=stderr, markup=False, emoji=False)


def wide_console() -> Console:
    """The same for tables, with 200 columns if it is not a terminal."""
    console = text_console()
    if not console.is_terminal:
        console.width = 200
    return console


def track_images(name: str, image_ids: Iterable[T], total: int | None = None) -> Iterable[T]:
    """Iterate with a progress bar on stderr if it is a terminal."""
    console = text_console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(bar_width=24), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        yield from bars.track(image_ids, total=total, description=printable(name))

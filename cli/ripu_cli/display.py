"""Shared by the commands for the console: tables, and progress as bars on a terminal or lines elsewhere."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from ripu_ray.errors import printable

T = TypeVar("T")
_WHOLE = 12
"""Characters of the longest word that is not broken: names of columns, and numbers."""
_NARROW = 80
"""Columns of a terminal that says it has none."""


class TextTable(Table):
    """A table whose cells are texts, with control characters as escapes.

    On a narrow console, cells are folded between words. Where this is not enough, each row is printed as a list.
    """

    def add_row(self, *cells: str) -> None:  # type: ignore[override]
        """Add a row."""
        super().add_row(*map(printable, cells))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Called by rich."""
        columns = [(str(column.header), [str(cell) for cell in column.cells]) for column in self.columns]
        texts = [(header, *cells) for header, cells in columns]
        widest = [max(cell_len(line) for text in own for line in text.split("\n")) for own in texts]
        words = [[cell_len(word) for text in own for word in text.split()] for own in texts]
        least = [max((width for width in own if width <= _WHOLE), default=1) for own in words]
        widths = _narrowed(widest, least, options.max_width - 3 * len(columns) - 1)
        if not widths:  # two spaces between columns, not three
            self.show_edge, self.pad_edge, self.padding = False, False, (0, 1, 0, 0)
            widths = _narrowed(widest, least, options.max_width - 2 * len(columns))
        if widths:
            for column, width in zip(self.columns, widths, strict=True):
                column.width = width
            yield from super().__rich_console__(console, options)
            return
        wide = max(cell_len(header) for header, _ in columns)
        for row in range(self.row_count):
            yield Text("\n".join(f"{header:{wide}}  {cells[row]}" for header, cells in columns) + "\n")


def _narrowed(widest: Sequence[int], least: Sequence[int], room: int) -> list[int]:
    """Widths of columns with at most `room` in all, the widest of them narrowed; none if `least` is too wide."""
    widths = [*widest]
    while sum(widths) > room:
        index = max(range(len(widths)), key=lambda index: (widths[index] > least[index], widths[index]))
        if widths[index] <= least[index]:
            return []
        widths[index] -= 1
    return widths


def new_table(*columns: str) -> TextTable:
    """An empty table whose long cells are folded."""
    table = TextTable(box=SIMPLE_HEAD)
    for column in columns:
        table.add_column(printable(column), overflow="fold")
    return table


def text_console(stderr: bool = False) -> Console:
    """A console that prints names as they are: nothing in them is markup, a code of an emoji, or highlighted."""
    console = Console(stderr=stderr, markup=False, emoji=False, highlight=False)
    console.width = console.width or _NARROW
    return console


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

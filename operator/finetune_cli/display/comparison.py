"""Runs beside each other."""

from collections.abc import Iterator
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from finetune.comparison import Comparison, Row
from finetune.summary import NOTHING
from finetune_api.printable import printable
from finetune_cli.display.curve import COLOURS, Points, bars, draw

_BARS = 24
"""Columns of a curve in the table, with its first and its last value."""


def comparison_view(comparison: Comparison, width: int, *, coloured: bool = True) -> RenderableType:
    """Return a table of what differs, what came of it and what it cost, and the curves over each other.

    Where there are no colours to tell curves apart by, each stands below the name of its run, as bars.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("", overflow="fold")
    for name, colour in zip(comparison.names, COLOURS, strict=False):
        table.add_column(Text(name, style=colour), overflow="fold")
    for title, rows in (("settings", comparison.settings), ("metrics", comparison.metrics), ("cost", comparison.cost)):
        table.add_row(Text(title, style="bold"))
        if not rows:
            table.add_row(Text("  no difference" if title == "settings" else "  none yet"))
        for row in rows:
            table.add_row(Text(f"  {printable(row.name)}"), *_cells(row))
    if not any(comparison.curves.values()):
        return table
    if not coloured:
        table.add_row(Text("curves", style="bold"))
        table.add_row(Text("  loss"), *(_curve(comparison.curves.get(name)) for name in comparison.names))
        return table
    return Group(table, draw(comparison.curves, width=width, y_label="loss"))


def _curve(points: Points | None) -> RenderableType:
    return _Bars(points) if points else Text(NOTHING)


class _Bars:
    """A curve in as many columns as the table has for it: one that is folded cannot be read."""

    def __init__(self, points: Points) -> None:
        self._values = [value for _, value in points]

    def __rich_measure__(self, _console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(len(bars(self._values, 0)), _BARS).with_maximum(options.max_width)

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> Iterator[Text]:
        yield Text(bars(self._values, min(_BARS, options.max_width)))


def _cells(row: Row) -> list[Text]:
    return [
        Text(f"{_shown(value)} ★" if place in row.best else _shown(value), style="bold" if place in row.best else "")
        for place, value in enumerate(row.values)
    ]


def _shown(value: Any) -> str:
    if value is None:
        return NOTHING
    return f"{value:.4g}" if isinstance(value, float) else printable(str(value))

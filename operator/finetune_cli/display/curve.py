"""Curves in a terminal: in braille by plotille, or as a sparkline in one line."""

from collections.abc import Mapping, Sequence
from typing import Final

from plotille import Figure
from rich.text import Text

from finetune.summary import evenly

Points = Sequence[tuple[int, float]]
"""Steps and values, all of them finite."""

COLOURS: Final = ("blue", "magenta", "green", "yellow", "cyan", "red", "white", "bright_black")
"""Of curves that lie over each other, in their order."""
_LEVELS: Final = "▁▂▃▄▅▆▇█"
_AXES: Final = 4
"""Lines of plotille's frame."""
_MARGIN: Final = 23
"""Columns of plotille's axes, with the name of the lower one."""
_NARROWEST: Final = 10
_LOWEST: Final = 3
"""Of the field between the axes; where there is less room, a curve is a line of bars."""
LINES: Final = 12


def draw(curves: Mapping[str, Points], *, width: int, lines: int = LINES, y_label: str = "") -> Text:
    """Return curves over their steps, at most `width` columns wide and `lines` high, each in the colour of its place.

    Where axes do not fit, each is a line of bars between its first and its last value. At least one of them has a point.
    """
    if width < _MARGIN + _NARROWEST or lines < _AXES + _LOWEST:
        return _bars(curves, width)
    figure = Figure()
    figure.width, figure.height = width - _MARGIN, lines - _AXES
    figure.linesep = "\n"
    figure.color_mode = "names"
    figure.with_colors = len(curves) > 1
    figure.origin = False
    figure.x_label, figure.y_label = "step", y_label
    figure.register_label_formatter(float, _label)
    figure.register_label_formatter(int, _label)
    figure.x_ticks_fkt = lambda step, _: round(step)
    steps = [step for points in curves.values() for step, _ in points]
    figure.set_x_limits(min_=min(steps), max_=max(max(steps), min(steps) + 1))
    for colour, points in zip(COLOURS, curves.values(), strict=False):
        if points:
            figure.plot([step for step, _ in points], [value for _, value in points], lc=_OF_PLOTILLE[colour])
    return Text.from_ansi(figure.show(legend=False))


def _bars(curves: Mapping[str, Points], width: int) -> Text:
    """A line for each curve."""
    lines = []
    for colour, points in zip(COLOURS, curves.values(), strict=False):
        if points:
            text = bars([value for _, value in points], width)
            lines.append(Text(text, style=colour if len(curves) > 1 else ""))
    return Text("\n").join(lines)


def bars(values: Sequence[float], width: int) -> str:
    """Return a curve of one value or more as bars between its first and its last value, in so many columns, or few more."""
    first, last = f"{values[0]:.3g} ", f" {values[-1]:.3g}"
    return f"{first}{sparkline(evenly(values, max(2, width - len(first) - len(last))))}{last}"


_OF_PLOTILLE: Final = {name: name.replace("bright_black", "black") for name in COLOURS}


def sparkline(values: Sequence[float]) -> str:
    """Return each of the values as a bar of one character."""
    low, high = min(values, default=0.0), max(values, default=0.0)
    span = high - low
    return "".join(_LEVELS[round((value - low) / span * (len(_LEVELS) - 1)) if span else 0] for value in values)


def _label(value: object, chars: int, delta: object, left: bool = False) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text.ljust(chars) if left else text.rjust(chars)

"""Curves in a terminal: in braille by plotille, or as a sparkline in one line."""

from collections.abc import Mapping, Sequence
from typing import Final

from plotille import Figure
from rich.text import Text

Points = Sequence[tuple[int, float]]
"""Steps and values, all of them finite."""

COLOURS: Final = ("blue", "magenta", "green", "yellow", "cyan", "red", "white", "bright_black")
"""Of curves that lie over each other, in their order."""
_LEVELS: Final = "▁▂▃▄▅▆▇█"
_AXES: Final = 4
"""Lines of plotille's frame."""
_MARGIN: Final = 23
"""Columns of plotille's axes, with the name of the lower one."""


def draw(curves: Mapping[str, Points], *, width: int, lines: int = 12, y_label: str = "") -> Text:
    """Return curves over their steps, `width` columns wide and `lines` high, each in the colour of its place.

    At least one of them has a point.
    """
    figure = Figure()
    figure.width, figure.height = max(10, width - _MARGIN), max(2, lines - _AXES)
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


_OF_PLOTILLE: Final = {name: name.replace("bright_black", "black") for name in COLOURS}


def sparkline(values: Sequence[float]) -> str:
    """Return each of the values as a bar of one character."""
    low, high = min(values, default=0.0), max(values, default=0.0)
    span = high - low
    return "".join(_LEVELS[round((value - low) / span * (len(_LEVELS) - 1)) if span else 0] for value in values)


def _label(value: object, chars: int, delta: object, left: bool = False) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text.ljust(chars) if left else text.rjust(chars)

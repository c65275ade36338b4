"""The list of jobs."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from rich.table import Table
from rich.text import Text

from finetune.snapshot import Snapshot
from finetune.summary import NOTHING, best, why
from finetune_cli.display.words import duration, gpu_hours, loss_bars, phase_text, progress_bar

_WHY: Final = "WHY / WHAT NEXT"
_TRACKED: Final = "TRACKED AT"
_COLUMNS: Final = ("NAMESPACE", "NAME", "PHASE", "PROGRESS", "LOSS", "BEST", _WHY, "GPU-H", "AGE", _TRACKED)
_ALWAYS: Final = ("NAME", "PHASE", _WHY)
_WHERE_THEY_FIT: Final = ("PROGRESS", "AGE", "GPU-H", "BEST", "LOSS")
"""By their worth."""
_FOLDED_AT: Final = {_WHY: 24, "NAME": 32}
"""Where there is no room: a long name of one job takes no column from all the others."""
_GAP: Final = 2


def jobs_table(
    jobs: Iterable[Snapshot],
    *,
    width: int,
    with_namespace: bool = False,
    whole: bool = False,
    now: datetime | None = None,
) -> Table:
    """Return the list, at most `width` columns wide. What does not fit is left out, column by column; why is folded.

    With `whole` nothing is left out, however wide it becomes, and where each is tracked is there too.
    """
    rows = [_cells(job, now or datetime.now(UTC)) for job in jobs]
    shown = {"NAMESPACE", *_ALWAYS} if with_namespace else {*_ALWAYS}
    for name in _WHERE_THEY_FIT:
        if whole or _least_width(rows, {*shown, name}) <= width:
            shown.add(name)
    if whole:
        shown.add(_TRACKED)
    columns = [name for name in _COLUMNS if name in shown]
    most = _room(rows, shown, width)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        folds = name in (_WHY, "NAME", _TRACKED)
        table.add_column(
            name,
            no_wrap=not folds,
            overflow="fold",
            min_width=None if folds else _width(rows, name),
            max_width=None if whole else most.get(name),
            justify="right" if name in ("GPU-H", "AGE") else "left",
        )
    for row in rows:
        table.add_row(*(row[name] for name in columns))
    return table


def _cells(job: Snapshot, now: datetime) -> dict[str, Text]:
    return {
        "NAMESPACE": Text(job.namespace),
        "NAME": Text(job.name),
        "PHASE": phase_text(job),
        "PROGRESS": Text(progress_bar(job)),
        "LOSS": Text(loss_bars(job)),
        "BEST": Text(best(job)),
        _WHY: Text(why(job)),
        "GPU-H": Text(gpu_hours(job)),
        "AGE": Text(duration(now - job.created)),
        _TRACKED: Text(" ".join(each.url for each in job.status.tracking if each.url) or NOTHING),
    }


def _room(rows: list[dict[str, Text]], shown: set[str], width: int) -> dict[str, int]:
    """Return how wide each column that folds may be: names are whole where all are, and why has the rest."""
    room = max(0, width - _least_width(rows, shown))
    whole = _width(rows, "NAME")
    name = min(whole, _FOLDED_AT["NAME"])
    if whole - name <= room:
        name, room = whole, room - (whole - name)
    return {"NAME": name, _WHY: min(_width(rows, _WHY), _FOLDED_AT[_WHY]) + room}


def _least_width(rows: list[dict[str, Text]], shown: set[str]) -> int:
    widths = [min(_width(rows, name), _FOLDED_AT.get(name, _width(rows, name))) for name in shown]
    return sum(widths) + _GAP * (len(shown) - 1)


def _width(rows: list[dict[str, Text]], name: str) -> int:
    return max(len(name), *(row[name].cell_len for row in rows))

"""The card of a job: why it waits or failed."""

from datetime import UTC, datetime

from rich.table import Table
from rich.text import Text

from finetune.explanation import Explanation
from finetune.snapshot import Snapshot
from finetune_api.status import Notification
from finetune_api.values import format_time
from finetune_cli.display.words import duration, phase_text, tracked


def card(explanation: Explanation, job: Snapshot, now: datetime | None = None) -> Table:
    """Return the card, a line for each part that there is."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    head = Text.assemble((job.name, "bold"), "  ", phase_text(job))
    table.add_row("job", head)
    rows = (
        ("reason", f"{explanation.reason}: {explanation.meaning}".rstrip(": ")),
        ("what happened", explanation.message),
        ("what to do", explanation.remedy),
        ("since", _since(explanation, now or datetime.now(UTC))),
        ("proof", explanation.proof),
        *(("warning", f"{each.reason}: {each.message}") for each in job.status.warnings),
        *((f"at {each.tracker}", tracked(each)) for each in job.status.tracking),
        *(("not told", _not_told(each)) for each in job.status.notifications if each.message),
    )
    for name, text in rows:
        if text:
            table.add_row(name, Text(text))
    return table


def _not_told(notification: Notification) -> str:
    """Who could not be told of the end, and whether that is tried again."""
    due = f", again at {format_time(notification.next_attempt_time)}" if notification.next_attempt_time else ""
    return f"{notification.target}: {notification.message} ({notification.attempts} attempts{due or ', given up'})"


def _since(explanation: Explanation, now: datetime) -> str:
    if explanation.since is None:
        return ""
    return f"{format_time(explanation.since)}, {duration(now - explanation.since)} ago"

"""The latest report of one job, in memory only: after a restart the next report brings the whole state again."""

from dataclasses import dataclass

from finetune_operator.job.report import Received


@dataclass
class LatestReport:
    """What the pods of one FineTuneJob reported last."""

    received: Received | None = None
    """The newest report, of whichever pod."""
    unread: str = ""
    """What was wrong with the first report that could not be read; empty if there was none."""

    def take(self, received: Received) -> bool:
        """Keep a report, unless a later one of the same pod overtook it. Return whether it is kept."""
        if self.received is not None and _overtaken(received, self.received):
            return False
        self.received = received
        return True

    def refuse(self, why: str) -> bool:
        """Keep why a report was refused. Return whether it is the first: the others repeat it."""
        first = not self.unread
        self.unread = self.unread or why
        return first

    def clear(self) -> None:
        """Drop it all, for a job that has ended."""
        self.received, self.unread = None, ""


def _overtaken(received: Received, known: Received) -> bool:
    new, old = received.body.report, known.body.report
    if received.pod_uid != known.pod_uid or old is None:
        return False
    # A pod that sends our report and stock transformers' one as well: ours knows more.
    return new is None or new.sequence <= old.sequence

"""The latest reports of one job, in memory only: after a restart the next report brings the whole state again."""

from dataclasses import dataclass, field

from finetune_operator.job.report import Received

_PODS = 4
"""Those of a job that may report one after the other: of the preflight, of an attempt that ends, of the one that follows."""


@dataclass
class LatestReports:
    """What the pods of one FineTuneJob reported last, each for itself."""

    received: dict[str, Received] = field(default_factory=dict)
    """The newest report of each pod, by the pod's uid, in the order in which the pods reported last."""
    unread: str = ""
    """What was wrong with the first report that could not be read; empty if there was none."""
    refused: frozenset[str] = frozenset()
    """Uids of the pods with whose reports, or final reports, the API server took no status."""

    def take(self, received: Received) -> bool:
        """Keep a report, unless a later one of the same pod overtook it. Return whether it is kept."""
        known = self.received.pop(received.pod_uid, None)
        overtaken = known is not None and _overtaken(received, known)
        self.received[received.pod_uid] = known if known is not None and overtaken else received
        while len(self.received) > _PODS:
            del self.received[next(iter(self.received))]
        return not overtaken

    def refuse(self, why: str) -> bool:
        """Keep why a report was refused. Return whether it is the first: the others repeat it."""
        first = not self.unread
        self.unread = self.unread or why
        return first

    def clear(self) -> None:
        """Drop it all, for a job that has ended."""
        self.received.clear()
        self.unread, self.refused = "", frozenset()


def _overtaken(received: Received, known: Received) -> bool:
    new, old = received.body.report, known.body.report
    if old is None:
        return False
    # A pod that sends our report and stock transformers' one as well: ours knows more.
    return new is None or new.sequence <= old.sequence

"""The last report of each job, in memory only: after a restart the next report brings the whole state again."""

from collections.abc import Callable

from finetune_operator.job.finetunejob import Key
from finetune_operator.job.report import Received


class LatestReports:
    """Keeps one report for each FineTuneJob. `on_change` hears of each key with a new one."""

    def __init__(self, on_change: Callable[[Key], None]) -> None:
        self._on_change = on_change
        self._latest: dict[Key, Received] = {}
        self._refused: dict[Key, str] = {}

    def take(self, received: Received) -> None:
        """Keep a report, unless it was overtaken by a later one of the same pod."""
        key = received.key
        known = self._latest.get(key)
        if known is not None and _overtaken(received, known):
            return
        self._latest[key] = received
        self._on_change(key)

    def refuse(self, key: Key, why: str) -> None:
        """A pod of the job sent what is no report. The first time is worth telling, the others are the same again."""
        if key not in self._refused:
            self._refused[key] = why
            self._on_change(key)

    def refused(self, key: Key) -> str:
        """What was wrong with the first report that could not be read; empty if there was none."""
        return self._refused.get(key, "")

    def get(self, key: Key) -> Received | None:
        """The last report of the job, of whichever pod."""
        return self._latest.get(key)

    def forget(self, key: Key) -> None:
        """The job has ended or is gone."""
        self._latest.pop(key, None)
        self._refused.pop(key, None)


def _overtaken(received: Received, known: Received) -> bool:
    new, old = received.body.report, known.body.report
    if received.pod_uid != known.pod_uid or old is None:
        return False
    # A pod that sends our report and stock transformers' one as well: ours knows more.
    return new is None or new.sequence <= old.sequence

"""When each pod is to report next: as often as the operator can take it, and at another moment than the others."""

import math
import time
from collections.abc import Callable

from finetune_api.report import MAX_REPORT_INTERVAL
from finetune_operator.kube.slots import Slots


class Schedule:
    """Turns for the pods that report, `per_second` of them in all, and for each pod at most one in `interval` seconds.

    The time until a pod's next turn follows from how many others report: 1,000 pods at 70 a second get one each 14.3 seconds.
    """

    def __init__(self, *, per_second: float, interval: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._slots = Slots(per_second=per_second, clock=clock)
        self._interval = interval

    def next_report(self, pod_uid: str) -> float:
        """Return in how many seconds a pod that has just reported is to report again. One that came early keeps its turn."""
        if not self._slots.is_early(pod_uid):
            self._slots.done(pod_uid)
        seconds = max(self._interval, self._slots.wait(pod_uid, self._interval))
        return min(math.ceil(seconds * 10) / 10, MAX_REPORT_INTERVAL)

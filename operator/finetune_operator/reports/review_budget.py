"""How many tokens the API server is asked about, beside the controller's own requests: in all, and for each who may ask."""

import time
from collections.abc import Callable

from finetune_operator.kube.rate_limit import RateLimit
from finetune_operator.reports.token_review import Caller


class ReviewBudget:
    """Lets so many reviews through, the narrowest bound first: what is refused there takes nothing from anybody else.

    Pod and namespace are as the token says, which nobody has verified yet. But it was found to be that of a pod that trains, and of
    another namespace's pod nobody knows the uid: so a namespace whose pods send forged tokens spends its own part, from however many
    addresses and for however many of its pods, and a pod of another one that is new has its token reviewed.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._of_pod = RateLimit(per_second=0.2, burst=10, clock=clock)
        self._of_address = RateLimit(per_second=25, burst=500, clock=clock)
        self._of_namespace = RateLimit(per_second=25, burst=500, clock=clock)
        self._of_all = RateLimit(per_second=50, burst=1000, keys=1, clock=clock)

    def wait(self, sender: Caller, address: str) -> tuple[float, str]:
        """Return 0 if the API server may be asked now, and count it; else the seconds to wait, and why."""
        for limit, key, why in (
            (self._of_pod, f"{sender.pod_uid} {address}", "too many tokens for this pod"),
            (self._of_address, address, "too many tokens from this address"),
            (self._of_namespace, sender.namespace, "too many tokens of this namespace"),
            (self._of_all, "", "too many tokens"),
        ):
            if seconds := limit.wait(key):
                return seconds, why
        return 0.0, ""

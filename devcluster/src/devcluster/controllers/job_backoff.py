"""The back-off before a Job's failed pods are replaced."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from devcluster.client import Object
from devcluster.controllers.job_pods import finish_time, index_of, is_deleted, is_finished, phase_of

MAX_BACKOFF_SECONDS = 600.0


def seconds_left(pods: Iterable[Object], now: datetime, base_delay: float) -> float:
    """Return the seconds until the next pod may be created.

    That is `base_delay`, doubled with each consecutive failure, at most ten minutes.

    A failure that the Job's policy does not count towards the limit delays like any other.
    """
    ends = sorted(
        (finish_time(pod, now), phase_of(pod) == "Succeeded")
        for pod in pods
        if is_finished(pod) and not (is_deleted(pod) and phase_of(pod) != "Failed")
    )
    failures = 0
    for _, succeeded in ends:
        failures = 0 if succeeded else failures + 1
    if failures == 0:
        return 0.0
    delay = min(base_delay * 2 ** min(failures - 1, 30), MAX_BACKOFF_SECONDS)
    return (ends[-1][0] + timedelta(seconds=delay) - now).total_seconds()


def seconds_left_by_index(
    pods: Iterable[Object], indexes: Iterable[int], now: datetime, base_delay: float
) -> dict[int, float]:
    """Return `seconds_left` for each index by its own pods, as for a Job with `backoffLimitPerIndex`."""
    known = list(pods)
    return {index: seconds_left((pod for pod in known if index_of(pod) == index), now, base_delay) for index in indexes}

"""What a job uses, from the times of its pods.

Each attempt in the status holds for how long its pods ran, and keeps it when they are gone; what an attempt has more of than
in the status before is added to the job's sums. So nothing is counted twice, and an outage of the operator costs nothing of
pods that are still there after it.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from finetune_api.profile import Price
from finetune_api.reasons import Reason
from finetune_api.status import Attempt, Checkpoint, FineTuneJobStatus, Phase
from finetune_api.usage import Cost, GpuSeconds, MonthlyUsage, Usage
from finetune_api.v1alpha1 import FineTuneJobSpec
from finetune_operator.job.budget import first_of_month, month_of
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.job.observation import Observation, PodState

_LONGEST: Final = timedelta(minutes=5)
"""For as long the usage of pods that run may be older than now: a pod that vanishes takes no more of it with it."""
_SEEN_LATE: Final = timedelta(seconds=5)
"""Of a pod that runs, the last seconds are left out: the end of its container is seen a moment later, and counts exactly."""


_SOON: Final = timedelta(seconds=2)
_SELDOM: Final = timedelta(minutes=1)


def with_usage(
    finetunejob: FineTuneJob, observed: Observation, after: FineTuneJobStatus, now: datetime, *, changed: bool
) -> FineTuneJobStatus:
    """The new status with what the job has used: brought up to date where something else has `changed`, or too much would be missing."""
    before, spec = finetunejob.status, finetunejob.spec
    if spec is None or not (changed or _is_due(before, observed, now)):
        return after
    attempts = _update_times(before.attempts, after.attempts, observed.pods, after.phase, now)
    after = after.model_copy(update={"attempts": attempts})
    return after.model_copy(update={"usage": _account(finetunejob, spec, observed, after, now)})


def with_late_usage(
    finetunejob: FineTuneJob, observed: Observation, after: FineTuneJobStatus, now: datetime
) -> FineTuneJobStatus:
    """The status of a job that has ended, such as by the operator's own decision, with what its pods used from then on until they ended as well.

    It changes once none of them runs, and then no more.
    """
    before = finetunejob.status
    if finetunejob.spec is None or before.usage is None or not all(_is_over(pod, now) for pod in observed.pods):
        return after
    attempts = _update_times(before.attempts, after.attempts, observed.pods, after.phase, now)
    if not _added(before.attempts, attempts):
        return after
    after = after.model_copy(update={"attempts": attempts})
    return after.model_copy(update={"usage": _account(finetunejob, finetunejob.spec, observed, after, now)})


def until_usage_is_known(finetunejob: FineTuneJob, observed: Observation, now: datetime) -> float | None:
    """Seconds until that is looked at again for which `with_late_usage` waits, and no event comes: the clock of a node is a moment ahead,
    or for long. The longer the job has ended, the more seldom."""
    if all(pod.terminated is None or _is_over(pod, now) for pod in observed.pods):
        return None
    ended = finetunejob.status.completion_time or now
    return min(max((now - ended).total_seconds(), _SOON.total_seconds()), _SELDOM.total_seconds())


def _update_times(
    before: Sequence[Attempt], after: Sequence[Attempt], pods: Sequence[PodState], phase: Phase | None, now: datetime
) -> list[Attempt]:
    """The attempts with how long their pods ran, and the last one with the time at which it was first seen to train."""
    known = {attempt.pod: attempt for attempt in before}
    times = []
    for place, attempt in enumerate(after):
        seconds = sum(_ran(pod, now) for pod in _pods_of(after, place, pods))
        earlier = known.get(attempt.pod)
        longest = max(seconds, (earlier.pod_seconds or 0) if earlier else 0)
        times.append(attempt.model_copy(update={"pod_seconds": longest or None}))
    if phase == "Running" and times and not times[-1].training_start_time and not times[-1].end_time:
        times[-1] = times[-1].model_copy(update={"training_start_time": now})
    return times


def _is_due(before: FineTuneJobStatus, observed: Observation, now: datetime) -> bool:
    """Whether the usage is to be written even if nothing else changes."""
    if before.usage is None:
        return False
    return now - before.usage.until >= _LONGEST and any(pod.running for pod in observed.pods)


def _account(
    finetunejob: FineTuneJob, spec: FineTuneJobSpec, observed: Observation, after: FineTuneJobStatus, now: datetime
) -> Usage:
    """What the job has used by now. `after` is its new status but for this."""
    before = finetunejob.status
    used = before.usage or Usage(until=finetunejob.created)
    now = max(now.replace(microsecond=0), used.until)
    wall, gpus = int((now - used.until).total_seconds()), spec.resources.gpus
    seconds = _added(before.attempts, after.attempts)
    useful = used.gpu_seconds.useful + (seconds * gpus if _is_useful(before.phase, after.phase) else 0)
    useful = max(0, useful - spec.resources.nodes * gpus * _wasted_seconds(before, after))
    total = used.gpu_seconds.total + seconds * gpus
    checks = observed.preflight.pods if observed.preflight else ()
    return Usage(
        gpu_seconds=GpuSeconds(total=total, useful=min(useful, total), lost=total - min(useful, total)),
        pod_seconds=used.pod_seconds + seconds,
        preflight_seconds=max(used.preflight_seconds, sum(_ran(pod, now) for pod in checks)),
        queued_seconds=used.queued_seconds + (wall if before.phase in (None, "Pending", "Queued") else 0),
        startup_seconds=used.startup_seconds + (wall if before.phase == "Preparing" else 0),
        month=_month(used, seconds * gpus, spec.resources.nodes * gpus, now),
        cost=cost_of(total, finetunejob.profile.price),
        until=now,
    )


def cost_of(gpu_seconds: int, price: Price | None) -> Cost | None:
    """What GPU time costs; None without a price."""
    if price is None:
        return None
    amount = Decimal(price.gpu_hour) * gpu_seconds / 3600
    return Cost(amount=f"{amount:.2f}", currency=price.currency)


def _added(before: Iterable[Attempt], after: Iterable[Attempt]) -> int:
    """Seconds for which pods ran that are not in the status before."""
    known = {attempt.pod: attempt.pod_seconds or 0 for attempt in before}
    return sum((attempt.pod_seconds or 0) - known.get(attempt.pod, 0) for attempt in after)


def _pods_of(attempts: Sequence[Attempt], place: int, pods: Sequence[PodState]) -> list[PodState]:
    """The pods that came with the first pod of an attempt and before that of the next one; of the last attempt all later ones."""
    order = {pod.name: number for number, pod in enumerate(pods)}
    begin = order.get(attempts[place].pod)
    if begin is None:
        return []
    later = [order[attempt.pod] for attempt in attempts[place + 1 :] if attempt.pod in order]
    # Before it there may be pods of attempts that the status has dropped.
    first = begin if attempts[place].number > 1 else 0
    return list(pods[first : min(later, default=len(pods))])


def _ran(pod: PodState, now: datetime) -> int:
    """Seconds for which the container of a pod ran."""
    if pod.started is None:
        return 0
    # How long a container ran that was lost with its node nobody knows: what was counted before stays.
    end = pod.terminated.finished or pod.started if pod.terminated else now - _SEEN_LATE
    ran = end - pod.started
    # The node's clock may be anywhere, and what it says of how long is right all the same; but no pod runs for longer than it has been there.
    if pod.created is not None:
        ran = min(ran, now - pod.created)
    return max(0, int(ran.total_seconds()))


def _is_over(pod: PodState, now: datetime) -> bool:
    """Whether a pod has ended, and for how long it ran stays the same from now on. It grows where its container, by a clock that was set ahead
    meanwhile, is still to end, and ran for longer than its pod has been there."""
    ended = pod.terminated
    if ended is None or ended.finished is None or pod.started is None or pod.created is None:
        return ended is not None
    return ended.finished < now or pod.started > pod.created


def _is_useful(before: Phase | None, after: Phase | None) -> bool:
    """Whether pods trained, and did not start, from one status to the next. Of a run that was over at once nobody saw a start."""
    return before in ("Running", "Suspended") or after == "Succeeded"


def _wasted_seconds(before: FineTuneJobStatus, after: FineTuneJobStatus) -> int:
    """For how long attempts that failed meanwhile had trained since their last checkpoint: the next one does that again."""
    ended = {attempt.pod for attempt in before.attempts if attempt.end_time}
    return sum(
        _since_checkpoint(attempt, after.checkpoints)
        for attempt in after.attempts
        if attempt.pod not in ended and attempt.reason != Reason.COMPLETED
    )


def _since_checkpoint(attempt: Attempt, checkpoints: Iterable[Checkpoint]) -> int:
    begin, end = attempt.training_start_time, attempt.end_time
    if begin is None or end is None:
        return 0
    saved = [each.time for each in checkpoints if each.time is not None and begin <= each.time]
    return max(0, int((end - max([begin, *saved])).total_seconds()))


def _month(used: Usage, added: int, rate: int, now: datetime) -> MonthlyUsage:
    """Usage of the month, with what was added since the last status. `rate` is the most that a second adds."""
    month = month_of(now)
    if used.month is not None and used.month.month == month:
        return MonthlyUsage(month=month, gpu_seconds=used.month.gpu_seconds + added)
    return MonthlyUsage(month=month, gpu_seconds=min(added, rate * int((now - first_of_month(now)).total_seconds())))

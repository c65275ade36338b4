"""Times of what has happened are not later than now: the clock of a node may be ahead, and who may write a status writes any year into it.

Of the future, a time would never pass: no silence would be seen before it, and what a pod used would be counted in years. And no container
has begun before its pod was made: by a node's clock that is behind, no pod would ever have run in time.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from pydantic import BaseModel

from finetune_api.status import FineTuneJobStatus
from finetune_operator.job.observation import End, JobState, Observation, PodState, Terminated

_Part = TypeVar("_Part", JobState, PodState, End, Terminated)
_Model = TypeVar("_Model", bound=BaseModel)

_OF_JOBS = ("start_time",)
_OF_PODS = ("scheduled", "started", "missed_since")
_OF_ATTEMPTS = ("start_time", "training_start_time", "end_time")
_OF_PROGRESS = ("last_report_time", "last_progress_time")


def capped_observation(observed: Observation, now: datetime) -> Observation:
    """The observation without times of the future, and without containers that begin before their pods. That at which a pod is to be gone is
    in the future by right."""
    job, pods, preflight = observed.job, observed.pods, observed.preflight
    if job is not None:
        job = _by(job, _OF_JOBS, now)
        end = job.end and _by(job.end, ("time",), now)
        job = job if end is job.end else replace(job, end=end)
    if any(_pod_by(pod, now) is not pod for pod in pods):
        pods = tuple(_pod_by(pod, now) for pod in pods)
    preflight = preflight and capped_observation(preflight, now)
    if job is observed.job and pods is observed.pods and preflight is observed.preflight:
        return observed
    return replace(observed, job=job, pods=pods, preflight=preflight)


def capped_status(status: FineTuneJobStatus, now: datetime) -> FineTuneJobStatus:
    """The status of a job that has not ended, without times of the future."""
    attempts = [_model_by(attempt, _OF_ATTEMPTS, now) for attempt in status.attempts]
    parts = {
        "progress": status.progress and _model_by(status.progress, _OF_PROGRESS, now),
        "usage": status.usage and _model_by(status.usage, ("until",), now),
        "waiting": status.waiting and _model_by(status.waiting, ("since",), now),
    }
    changed: dict[str, object] = {name: part for name, part in parts.items() if part is not getattr(status, name)}
    if any(one is not other for one, other in zip(attempts, status.attempts, strict=True)):
        changed["attempts"] = attempts
    status = status.model_copy(update=changed) if changed else status
    return _model_by(status, ("start_time",), now)


def _pod_by(pod: PodState, now: datetime) -> PodState:
    pod = _not_before_it_came(pod)
    finished = pod.terminated.finished if pod.terminated is not None else None
    if finished is not None and finished > now and pod.started is not None and pod.created is not None:
        # By the clock of its node, which is ahead in both: how long it ran is right, if it was there for so long.
        ran = min(finished - pod.started, now - pod.created)
        pod = replace(pod, started=now - ran) if ran > timedelta(0) else pod
    pod = _by(pod, _OF_PODS, now)
    ended = pod.terminated and _by(pod.terminated, ("finished",), now)
    return pod if ended is pod.terminated else replace(pod, terminated=ended)


def _not_before_it_came(pod: PodState) -> PodState:
    """The pod with the times of its container moved to when it came, if they are before that: how long it ran is right."""
    if pod.started is None or pod.created is None or pod.started >= pod.created:
        return pod
    behind, ended = pod.created - pod.started, pod.terminated
    if ended is not None and ended.finished is not None:
        ended = replace(ended, finished=ended.finished + behind)
    return replace(pod, started=pod.created, terminated=ended)


def _by(part: _Part, names: tuple[str, ...], now: datetime) -> _Part:
    late: dict[str, Any] = {name: now for name in names if (time := getattr(part, name)) is not None and time > now}
    return replace(part, **late) if late else part


def _model_by(model: _Model, names: tuple[str, ...], now: datetime) -> _Model:
    late: dict[str, Any] = {name: now for name in names if (time := getattr(model, name)) is not None and time > now}
    return model.model_copy(update=late) if late else model

"""The Job controller's decision about one Job: a pure function of the Job, its pods and the time.

The rules are those of Kubernetes' own controller (pkg/controller/job). A pod that ends is counted exactly once: its uid
is first recorded in `status.uncountedTerminatedPods`, then the pod's finalizer is removed, then it is counted.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice

from devcluster.client import Object
from devcluster.controllers import job_failure_policy
from devcluster.controllers.job_backoff import seconds_left, seconds_left_by_index
from devcluster.controllers.job_pods import (
    format_indexes,
    index_of,
    is_active,
    is_ready,
    is_terminating,
    is_tracked,
    parse_indexes,
    phase_of,
    restarts_of,
    uid_of,
)
from devcluster.events import parse_timestamp, timestamp


@dataclass(frozen=True)
class Event:
    """`kind` is Normal or Warning."""

    kind: str
    reason: str
    message: str


@dataclass
class JobActions:
    """The actions to carry out, in the order of the fields.

    Attributes:
        discard: pods to delete that are not counted: their finalizers are removed first.
        delete: pods to delete that are counted when they have ended.
        create: completion indexes of pods to create, None for each pod of a Job that is not Indexed.
        status: the whole status to write.
        release: pods whose finalizers are removed once the status is written.
        remove: whether to delete the Job, whose time to live has expired.
        requeue_after: seconds after which to sync again even if nothing changes.
    """

    status: Object
    discard: list[Object] = field(default_factory=list)
    delete: list[Object] = field(default_factory=list)
    create: list[int | None] = field(default_factory=list)
    release: list[Object] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    remove: bool = False
    requeue_after: float | None = None


def condition(status: Object, kind: str) -> Object | None:
    """Return the condition of this type if it is True, else None."""
    found = (item for item in status.get("conditions") or [] if item["type"] == kind and item["status"] == "True")
    return next(found, None)


def sync_job(job: Object, pods: Sequence[Object], now: datetime, base_delay: float) -> JobActions:
    """Decide about one Job.

    Args:
        job: the Job as it is stored.
        pods: all pods that it owns, also finished and deleted ones.
        now: the time.
        base_delay: seconds before the first pod after a failure; doubled with each consecutive failure.
    """
    actions = JobActions(copy.deepcopy(job.get("status") or {}))
    if condition(actions.status, "Complete") or condition(actions.status, "Failed"):
        actions.release = [pod for pod in pods if is_tracked(pod)]
        _expire(job, actions, now)
        return actions
    if job["metadata"].get("deletionTimestamp"):
        actions.release = [pod for pod in pods if is_tracked(pod)]
        return actions
    _Sync(job, pods, now, base_delay, actions).decide()
    return actions


def _expire(job: Object, actions: JobActions, now: datetime) -> None:
    lifetime = job["spec"].get("ttlSecondsAfterFinished")
    end = condition(actions.status, "Complete") or condition(actions.status, "Failed")
    if lifetime is None or end is None or job["metadata"].get("deletionTimestamp"):
        return
    left = _left(end["lastTransitionTime"], lifetime, now)
    actions.remove = left <= 0
    actions.requeue_after = left if left > 0 else None


def _left(since: str, seconds: float, now: datetime) -> float:
    return (parse_timestamp(since) + timedelta(seconds=seconds) - now).total_seconds()


class _Sync:
    """One decision. Each method decides one question and adds to `actions`."""

    def __init__(
        self, job: Object, pods: Sequence[Object], now: datetime, base_delay: float, actions: JobActions
    ) -> None:
        self.job, self.spec, self.pods, self.now, self.base_delay = job, job["spec"], pods, now, base_delay
        self.actions, self.status = actions, actions.status
        self.is_indexed = self.spec.get("completionMode") == "Indexed"
        self.waits_for_end = self._replacement_policy() == "Failed"
        self.active = [pod for pod in pods if is_active(pod)]
        self.terminating = [pod for pod in pods if is_terminating(pod)]
        self.indexes = parse_indexes(self.status.get("completedIndexes") or "")

    def decide(self) -> None:
        suspended = bool(self.spec.get("suspend"))
        if not self.status.get("startTime") and not suspended:
            self.status["startTime"] = timestamp(self.now)
        self._count()
        success = condition(self.status, "SuccessCriteriaMet")
        failure = None if success else condition(self.status, "FailureTarget") or self._new_failure(suspended)
        if failure:
            self.actions.delete = list(self.active)
        elif success or self._meets_success_policy():
            self.actions.discard = list(self.active)
        else:
            self._manage(suspended)
        self._write_counts()
        if not failure and not success:
            self._succeed()
        self._finish()
        for kind in ("active", "succeeded", "failed"):
            # Zeros of these are left out as in Kubernetes; `ready` and `terminating` are always there.
            if not self.status.get(kind):
                self.status.pop(kind, None)

    def _replacement_policy(self) -> str:
        default = "Failed" if self.spec.get("podFailurePolicy") else "TerminatingOrFailed"
        return str(self.spec.get("podReplacementPolicy") or default)

    # --- counting -----------------------------------------------------------------------------------------------

    def _has_failed(self, pod: Object) -> bool:
        """Return whether a pod has failed; so has a deleted one, unless the Job waits until it has ended."""
        if phase_of(pod) == "Failed":
            return True
        return is_terminating(pod) and not self.waits_for_end

    def _count(self) -> None:
        """Count the pods whose finalizers have been removed, and record those that have ended since."""
        uncounted = self.status.get("uncountedTerminatedPods") or {}
        tracked = {uid_of(pod) for pod in self.pods if is_tracked(pod)}
        remaining: dict[str, list[str]] = {}
        for kind in ("succeeded", "failed"):
            uids = uncounted.get(kind) or []
            remaining[kind] = [uid for uid in uids if uid in tracked]
            self.status[kind] = (self.status.get(kind) or 0) + len(uids) - len(remaining[kind])
        for pod in filter(is_tracked, self.pods):
            if uid_of(pod) in remaining["succeeded"] or uid_of(pod) in remaining["failed"]:
                self.actions.release.append(pod)
            elif phase_of(pod) == "Succeeded" or self._has_failed(pod):
                self._note(pod, remaining)
                self.actions.release.append(pod)
        if self.is_indexed:
            self.status["succeeded"] = len(self.indexes)
            self.status["completedIndexes"] = format_indexes(self.indexes)
        self.status["uncountedTerminatedPods"] = {kind: uids for kind, uids in remaining.items() if uids}

    def _note(self, pod: Object, remaining: dict[str, list[str]]) -> None:
        if phase_of(pod) != "Succeeded":
            rule = job_failure_policy.match(self.job, pod)
            if not (rule and rule.action == "Ignore"):
                remaining["failed"].append(uid_of(pod))
        elif not self.is_indexed:
            remaining["succeeded"].append(uid_of(pod))
        elif 0 <= index_of(pod) < self.spec["completions"]:
            self.indexes.add(index_of(pod))

    def _total(self, kind: str) -> int:
        return int(self.status.get(kind) or 0) + len(self.status["uncountedTerminatedPods"].get(kind) or [])

    # --- failing ------------------------------------------------------------------------------------------------

    def _new_failure(self, suspended: bool) -> Object | None:
        cause = self._cause_of_failure(suspended)
        if cause:
            self._set_condition("FailureTarget", "True", *cause)
        return condition(self.status, "FailureTarget")

    def _cause_of_failure(self, suspended: bool) -> tuple[str, str] | None:
        for pod in self.pods:
            rule = job_failure_policy.match(self.job, pod)
            if rule and rule.action == "FailJob":
                return "PodFailurePolicy", rule.message
        limit = self.spec.get("backoffLimit", 6)
        if self._total("failed") > limit or self._restarts_exceed(limit):
            return "BackoffLimitExceeded", "Job has reached the specified backoff limit"
        deadline = self.spec.get("activeDeadlineSeconds")
        if deadline is not None and not suspended:
            left = _left(self.status["startTime"], deadline, self.now)
            if left <= 0:
                return "DeadlineExceeded", "Job was active longer than specified deadline"
            self._look_again(left)
        return None

    def _restarts_exceed(self, limit: int) -> bool:
        if self.spec["template"]["spec"].get("restartPolicy") != "OnFailure":
            return False
        restarts = sum(restarts_of(pod) for pod in self.pods if phase_of(pod) in ("Running", "Pending"))
        return restarts > 0 if limit == 0 else restarts >= limit

    # --- running ------------------------------------------------------------------------------------------------

    def _manage(self, suspended: bool) -> None:
        if suspended:
            self.actions.discard = list(self.active)
            self.status.pop("startTime", None)
            if self._set_condition("Suspended", "True", "JobSuspended", "Job suspended"):
                self.actions.events.append(Event("Normal", "Suspended", "Job suspended"))
            return
        if condition(self.status, "Suspended"):
            self._set_condition("Suspended", "False", "JobResumed", "Job resumed")
            self.status["startTime"] = timestamp(self.now)
            self.actions.events.append(Event("Normal", "Resumed", "Job resumed"))
        wanted = self._wanted()
        if len(self.active) > wanted:
            newest_first = sorted(self.active, key=lambda pod: str(pod["metadata"]["creationTimestamp"]), reverse=True)
            self.actions.discard = newest_first[: len(self.active) - wanted]
            return
        taken = len(self.active) + (len(self.terminating) if self.waits_for_end else 0)
        if taken >= wanted:
            return
        self.actions.create = self._past_backoff(wanted - taken)

    def _wanted(self) -> int:
        """Return how many pods should be active now."""
        completions, parallelism = self.spec.get("completions"), self.spec.get("parallelism", 1)
        succeeded = len(self.indexes) if self.is_indexed else self._total("succeeded")
        if completions is None:
            # A work queue: once a pod has succeeded, no more are started.
            return len(self.active) if succeeded else int(parallelism)
        return max(0, min(int(parallelism), int(completions) - succeeded))

    def _past_backoff(self, count: int) -> list[int | None]:
        """Return the indexes of at most `count` pods whose back-off is over; sync again for the others."""
        if self.spec.get("backoffLimitPerIndex") is None:
            delay = seconds_left(self.pods, self.now, self.base_delay)
            if delay > 0:
                self._look_again(delay)
                return []
            return [*self._next_indexes(count)] if self.is_indexed else [None] * count
        delays = seconds_left_by_index(self.pods, self._next_indexes(count), self.now, self.base_delay)
        for delay in delays.values():
            if delay > 0:
                self._look_again(delay)
        return [index for index, delay in delays.items() if delay <= 0]

    def _next_indexes(self, count: int) -> list[int]:
        busy = self.active + (self.terminating if self.waits_for_end else [])
        taken = self.indexes | {index_of(pod) for pod in busy}
        return list(islice((index for index in range(self.spec["completions"]) if index not in taken), count))

    # --- finishing ----------------------------------------------------------------------------------------------

    def _write_counts(self) -> None:
        gone = {uid_of(pod) for pod in (*self.actions.delete, *self.actions.discard)}
        left = [pod for pod in self.active if uid_of(pod) not in gone]
        self.status["active"] = len(left) + len(self.actions.create)
        self.status["ready"] = sum(is_ready(pod) for pod in left)
        self.status["terminating"] = len(self.terminating) + len(gone)

    def _meets_success_policy(self) -> bool:
        """Return whether the indexes of a rule have succeeded, so that other pods need not finish."""
        for number, rule in enumerate((self.spec.get("successPolicy") or {}).get("rules") or []):
            named = parse_indexes(rule["succeededIndexes"]) if rule.get("succeededIndexes") else None
            done = len(self.indexes if named is None else self.indexes & named)
            if done >= rule.get("succeededCount", 1 if named is None else len(named)):
                self._set_condition("SuccessCriteriaMet", "True", "SuccessPolicy", f"Matched rules at index {number}")
                return True
        return False

    def _succeed(self) -> None:
        completions = self.spec.get("completions")
        succeeded = len(self.indexes) if self.is_indexed else self._total("succeeded")
        # Without completions it is a work queue, in which pods may still run after the first success.
        is_drained = succeeded > 0 and not self.status["active"]
        if is_drained if completions is None else succeeded >= completions:
            message = "Reached expected number of succeeded pods"
            self._set_condition("SuccessCriteriaMet", "True", "CompletionsReached", message)

    def _finish(self) -> None:
        """Set the final condition once every pod has ended and is counted."""
        target = condition(self.status, "FailureTarget") or condition(self.status, "SuccessCriteriaMet")
        if not target or self.status["active"] or self.status["terminating"]:
            return
        if self.status["uncountedTerminatedPods"]:
            return
        if target["type"] == "FailureTarget":
            self._set_condition("Failed", "True", target["reason"], target["message"])
            self.actions.events.append(Event("Warning", target["reason"], target["message"]))
        else:
            self._set_condition("Complete", "True", target["reason"], target["message"])
            self.status["completionTime"] = timestamp(self.now)
            self.actions.events.append(Event("Normal", "Completed", "Job completed"))

    def _set_condition(self, kind: str, status: str, reason: str, message: str) -> bool:
        """Set a condition; return whether it has changed."""
        conditions = self.status.setdefault("conditions", [])
        current = next((item for item in conditions if item["type"] == kind), None)
        if current and current["status"] == status:
            return False
        new = {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": message,
            "lastProbeTime": timestamp(self.now),
            "lastTransitionTime": timestamp(self.now),
        }
        if current:
            conditions[conditions.index(current)] = new
        else:
            conditions.append(new)
        return True

    def _look_again(self, seconds: float) -> None:
        known = self.actions.requeue_after
        self.actions.requeue_after = seconds if known is None else min(known, seconds)

"""What the cluster holds of a job, as frozen values, and the questions that are asked of them. Nothing is decided here."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from finetune_api.printable import printable
from finetune_api.report import NOT_COUNTED, FinalReport
from finetune_api.status import AppliedProfile, Notification
from finetune_operator.job.report import Received

_START = timedelta(seconds=5)
"""A pod that takes longer on its node may lack something."""


@dataclass(frozen=True)
class Cause:
    """A reason in CamelCase and a message for people, of whoever: printable, and on one line."""

    reason: str
    message: str
    times: int = 1
    """How often it came."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", printable(self.reason))
        object.__setattr__(self, "message", printable(self.message))


@dataclass(frozen=True)
class End:
    """How the Job ended, by its condition Complete or Failed."""

    succeeded: bool
    cause: Cause
    time: datetime | None


@dataclass(frozen=True)
class JobState:
    """A batch/v1 Job."""

    name: str
    uid: str
    suspended: bool
    start_time: datetime | None = None
    """When it was admitted: absent while it is suspended."""
    created: datetime | None = None
    queue: str | None = None
    image: str | None = None
    """What its pods run."""
    requested: str | None = None
    """The annotation with what the operator last requested."""
    proof: str | None = None
    """The annotation by which the operator knows that it made the Job."""
    keeps_profile: bool = False
    """Whether it has an annotation with the profile that it was made under."""
    deleting: bool = False
    kept_by: tuple[str, ...] = ()
    """The finalizers of others, who have to let it go before it is deleted."""
    end: End | None = None
    version: str = field(default="", compare=False)
    """The resourceVersion that this was read from."""


@dataclass(frozen=True)
class Terminated:
    """How the trainer's container ended; without an exit code if it never ran."""

    exit_code: int | None
    reason: str
    message: str = ""
    """The final report, or the end of the log."""
    finished: datetime | None = None
    disrupted: Cause | None = None
    """Why Kubernetes ended the pod, which is no fault of the trainer: preemption, eviction, a node that goes away."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", printable(self.reason))
        object.__setattr__(self, "message", printable(self.message, lines=True))

    @property
    def counted(self) -> bool:
        """Whether such a failure uses up `runPolicy.backoffLimit`, as the Job's podFailurePolicy has it."""
        return self.disrupted is None and self.exit_code not in NOT_COUNTED


@dataclass(frozen=True)
class PodState:
    """One pod of the Job."""

    name: str
    uid: str
    index: int = 0
    """Its number among the pods that train together."""
    created: datetime | None = None
    scheduled: datetime | None = None
    """When it got its node."""
    node: str | None = None
    nominated: str | None = None
    """The node on which other pods are preempted for it."""
    address: str | None = None
    image: str | None = None
    started: datetime | None = None
    """When the container began to run."""
    running: bool = False
    waiting: Cause | None = None
    """Why the container does not run yet."""
    missed_since: datetime | None = None
    """From when on the control plane has not heard of its node."""
    gone_by: datetime | None = None
    """When the time that it has to end is over: it is being deleted."""
    disrupted: Cause | None = None
    """Why Kubernetes takes it away: preemption, eviction, a node that goes away."""
    terminated: Terminated | None = None
    report: Received | None = None
    """The last report, if this is the pod that reports: the first of the newest attempt."""
    final: FinalReport | None = None
    unread: str = ""
    """Fields of its final report that cannot be read, and were left out."""
    foreign: str | None = None
    """A place that it reported and that is not the job's, and was left out with any other such."""


@dataclass(frozen=True)
class Hearing:
    """What the operator itself knows of the reports of a pod."""

    since: datetime
    """From when on it would have had them."""
    trouble: str = ""
    """What the last connection of the pod came to nothing of."""


@dataclass(frozen=True)
class FormerRuns:
    """What is still there of runs before the present one."""

    jobs: tuple[JobState, ...] = ()
    pods: tuple[str, ...] = ()
    """Names of the pods that have not ended."""


@dataclass(frozen=True)
class Observation:
    """Everything that a status is computed from, besides the FineTuneJob itself and the time."""

    job: JobState | None = None
    """The Job that trains; in `preflight` the one that checks before it."""
    pods: tuple[PodState, ...] = ()
    """In the order of their creation."""
    unread: str = ""
    """What was wrong with a report that could not be read, and was dropped."""
    blocked: Cause | None = None
    """What keeps children from being made, or a pod from coming, as the API server or an Event explains it."""
    refused: Cause | None = None
    """Why the API server will never take a child as the spec asks for it."""
    profile: AppliedProfile | None = None
    """The profile that the job is given, for its status. Nothing is made before that says so."""
    check_first: bool = False
    """Whether a preflight is to be made before the Job that trains."""
    hearing: Hearing | None = None
    """Of the newest pod that is to report."""
    output_bound: bool = False
    """Whether the claim of the output is bound to a volume. Looked up for a preflight that is about to be made."""
    unheld: str | None = None
    """Why Kueue may start again a Job that spec.suspend suspends: empty if it does not, None if nothing is known of its Workload."""
    unchanged: str = ""
    """What the API server refuses to change or delete of its Jobs, with why."""
    former: FormerRuns | None = None
    """What has to end before the run begins."""
    released: str | None = None
    """The claim of a job that has failed with nothing saved, which was deleted; empty if there was none."""
    preflight: "Observation | None" = None
    """The preflight in a pod of its own, as long as no attempt to train is known."""
    tried: tuple[Notification, ...] = ()
    """What attempts to tell of the end came to that the status may not show yet."""

    @property
    def holds_anything(self) -> bool:
        """Whether there is a Job or a pod, of the training or of the preflight."""
        return bool(self.job or self.pods or (self.preflight and self.preflight.holds_anything))

    @property
    def passed(self) -> bool:
        """Whether the Job has succeeded."""
        return self.job is not None and self.job.end is not None and self.job.end.succeeded

    @property
    def reporting(self) -> frozenset[str]:
        """The uids of the pods that reported anything."""
        own = frozenset(pod.uid for pod in self.pods if pod.report is not None or pod.final is not None)
        return own | self.preflight.reporting if self.preflight is not None else own

    def without_reports(self, uids: Collection[str], why: str) -> "Observation":
        """The same without anything that the pods of these uids reported, and `why` that is."""
        bare = tuple(replace(pod, report=None, final=None, unread="") if pod.uid in uids else pod for pod in self.pods)
        preflight = self.preflight.without_reports(uids, why) if self.preflight is not None else None
        return replace(self, pods=bare, preflight=preflight, unread=self.unread or why)

    @property
    def under_way(self) -> "Observation":
        """The stage that the job has reached: the preflight, or the training."""
        return self.preflight if self.job is None and self.preflight is not None else self

    @property
    def attempts(self) -> tuple[PodState, ...]:
        """The first pod of each attempt, which reports for all; the last is the present attempt."""
        return tuple(pod for pod in self.pods if pod.index == 0)

    @property
    def newest(self) -> tuple[PodState, ...]:
        """The newest pod of each index, in the order of their indexes: those that are to train together now."""
        by_index = {pod.index: pod for pod in self.pods}
        return tuple(by_index[index] for index in sorted(by_index))

    @property
    def is_taken_up(self) -> bool:
        """Whether the Job's controller has done anything about it."""
        return self.job is not None and (self.job.start_time is not None or bool(self.pods))

    def stuck(self, now: datetime) -> str | None:
        """The uid of a pod that has a node and does not start on it, as one does that lacks a file; None if there is none."""
        return next((pod.uid for pod, time in self._starting() if time <= now), None)

    def next_stuck(self, now: datetime) -> float | None:
        """Seconds until a pod may be stuck by nothing but the time that passes."""
        return min(((time - now).total_seconds() for _, time in self._starting() if time > now), default=None)

    def _starting(self) -> Iterator[tuple[PodState, datetime]]:
        """The pods that do not run on their nodes yet, and from when on they are late."""
        return (
            (pod, pod.created + _START) for pod in self.newest if pod.node and pod.waiting and pod.created is not None
        )

    def began(self, attempt: PodState, nodes: int) -> datetime | None:
        """When an attempt began to run: with the last of its `nodes` pods, since none trains without the others."""
        if nodes == 1:
            return attempt.started
        if attempt is not self.attempts[-1] or len(self.newest) < nodes:
            return None
        starts = [pod.started for pod in self.newest]
        return None if None in starts else max(start for start in starts if start)

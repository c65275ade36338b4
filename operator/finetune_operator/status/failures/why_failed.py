"""Why a job or an attempt failed, for people: a reason, what happened, and what to do about it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from finetune_api.reasons import Reason
from finetune_api.report import ExitCode
from finetune_api.status import MAX_LOG_TAIL, Failure
from finetune_api.v1alpha1 import FineTuneJobSpec
from finetune_operator.job.observation import Cause, End, Observation, PodState, Terminated
from finetune_operator.status.failures.disruptions import describe_disruption
from finetune_operator.status.messages import cut, to_reason

_KILLED = 137
_CRASHED = 139
_LATEST = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class _Explanation:
    reason: str
    message: str
    hint: str


_SEE_LOG = "see failure.logTail, or `kubectl logs` of the pod"

_SEE_NODE = "see `kubectl describe` of the pod and of its node for who did it"
_NEVER_RAN = ("StartError", Reason.CONTAINER_CANNOT_RUN)
_TRAINER_IMAGE = "pod.image must hold `python` and the module finetune_trainer"
_NO_TRAINER = "No module named finetune_trainer"
_OF_CONTAINER = "raise the limit of ephemeral-storage, which a LimitRange of the namespace gives to the container, or read less data"
_EVICTIONS: dict[str, str] = {
    # What kubelet says of an eviction, and what helps.
    "EmptyDir volume": "let the job's profile raise the volume's size: scratch, tmp or sharedMemory of its defaults",
    "low on resource: memory": (
        "set resources.memory to what the training needs: a node evicts first what uses more than it has asked for"
    ),
    "low on resource: ephemeral-storage": "use nodes with more disk, or an output that is not on the node",
    "ephemeral local storage usage": _OF_CONTAINER,
    "local ephemeral storage limit": _OF_CONTAINER,
}

# The trainer explains these itself; this is for when its final report was lost, or another image ends with them. A hint is
# shown once the job has failed: that an attempt follows is never true there.
_EXIT_CODES: dict[int, _Explanation] = {
    ExitCode.INTERNAL: _Explanation(Reason.TRAINER_ERROR, "the trainer ended with an error of its own", _SEE_LOG),
    ExitCode.BAD_CONFIGURATION: _Explanation(
        Reason.BAD_CONFIGURATION, "the trainer refuses the configuration", _SEE_LOG
    ),
    ExitCode.DATA: _Explanation(Reason.DATA_ERROR, "the data cannot be used", _SEE_LOG),
    ExitCode.MODEL: _Explanation(Reason.MODEL_ERROR, "the model cannot be used", _SEE_LOG),
    ExitCode.OUT_OF_MEMORY: _Explanation(
        Reason.OUT_OF_MEMORY, "training ran out of memory", "lower training.batchSize or preprocessing.maxLength"
    ),
    ExitCode.LOSS_NOT_FINITE: _Explanation(
        Reason.LOSS_NOT_FINITE, "the loss became NaN or infinite", "lower training.learningRate"
    ),
    ExitCode.OUTPUT: _Explanation(Reason.OUTPUT_ERROR, "the output cannot be written", _SEE_LOG),
    ExitCode.DEVICE: _Explanation(
        Reason.NO_USABLE_GPU, "no GPU can be used on this node", "check the node's driver, or set resources.gpus to 0"
    ),
    ExitCode.PEER_LOST: _Explanation(
        Reason.PEER_LOST,
        "another process of the run was lost",
        "the process that was lost, or its pod, reports the cause",
    ),
    ExitCode.SMALLER_BATCHES: _Explanation(
        Reason.CUDA_OUT_OF_MEMORY,
        "a GPU's memory is not enough",
        "lower training.batchSize or preprocessing.maxLength",
    ),
    ExitCode.STALLED: _Explanation(
        Reason.PROGRESS_STALLED, "the run did not move for too long", "see the stacks in the log of the pod"
    ),
    ExitCode.STOPPED: _Explanation(Reason.STOPPED, "the pod was stopped from outside", _SEE_NODE),
    _KILLED: _Explanation(Reason.KILLED, "the trainer was killed (SIGKILL)", _SEE_NODE),
    _CRASHED: _Explanation(Reason.CRASHED, "the trainer crashed (SIGSEGV)", _SEE_LOG),
}


def attempt_failure(pod: PodState, ended: Terminated, spec: FineTuneJobSpec) -> Failure:
    """Why one attempt failed: the trainer's own report first, then what Kubernetes saw, then the exit code."""
    final = pod.final
    if final and final.failure and final.exit_code == ended.exit_code:
        return final.failure.model_copy(update={"exit_code": ended.exit_code})
    known, last_words = _seen_by_kubernetes(pod, ended, spec) or _by_exit_code(ended), ended.message.strip(" .")
    return Failure(
        reason=known.reason,
        message=cut(known.message),
        hint=cut(known.hint) or None,
        exit_code=ended.exit_code,
        # Where there is no log, this is what Kubernetes says, and the message has it already.
        log_tail=None
        if final or ended.reason in _NEVER_RAN or last_words in known.message
        else ended.message[-MAX_LOG_TAIL:],
    )


def _seen_by_kubernetes(pod: PodState, ended: Terminated, spec: FineTuneJobSpec) -> _Explanation | None:
    if ended.reason == Reason.OOM_KILLED:
        limit = f" of {spec.resources.memory}" if spec.resources.memory else ""
        return _Explanation(
            Reason.OOM_KILLED,
            f"the container went over its memory limit{limit}",
            "raise resources.memory, or lower training.batchSize",
        )
    if ended.reason in _NEVER_RAN:
        return _Explanation(Reason.CONTAINER_CANNOT_RUN, _unstarted(pod, ended.message), _TRAINER_IMAGE)
    if ended.exit_code == ExitCode.INTERNAL and _NO_TRAINER in ended.message:
        return _Explanation(Reason.CONTAINER_CANNOT_RUN, f"the image {pod.image} holds no trainer", _TRAINER_IMAGE)
    if ended.disrupted or ended.exit_code is None or ended.reason == Reason.EVICTED:
        cause = ended.disrupted or ended
        what = describe_disruption(Cause(cause.reason, cause.message), pod.node)
        return _Explanation(to_reason(cause.reason), what, _hint_of_node(ended, cause.message))
    return None


def _unstarted(pod: PodState, message: str) -> str:
    """Why a container never ran. A program that is not there is a matter of the image, behind what each layer of the runtime says of the others."""
    _, found, why = message.rpartition('exec: "')
    if found:
        return f"the image {pod.image} cannot start the trainer: {found}{why}"
    return message or "the container cannot start"


def _hint_of_node(ended: Terminated, message: str) -> str:
    """What to do about a pod that its node ended or refused. None about one that others took the place of: it resumes."""
    known = next((hint for words, hint in _EVICTIONS.items() if words in message), None)
    return known or ("" if ended.disrupted else "see `kubectl describe` of the pod and of its node")


def _by_exit_code(ended: Terminated) -> _Explanation:
    known = _EXIT_CODES.get(ended.exit_code or 0)
    return known or _Explanation(Reason.TRAINER_ERROR, f"the trainer ended with exit code {ended.exit_code}", _SEE_LOG)


def failed_pods(pods: Iterable[PodState]) -> list[tuple[PodState, Terminated]]:
    """Those that ended in an error, in the order of their ends; one that never ran comes last."""
    failed = [(pod, pod.terminated) for pod in pods if pod.terminated and pod.terminated.exit_code != 0]
    return sorted(failed, key=lambda each: each[1].finished or _LATEST)


def is_last(pods: Iterable[PodState], spec: FineTuneJobSpec, *, ended: bool = False) -> bool:
    """Whether no attempt follows the one that runs, or the one that has `ended`, by how many of these pods failed by themselves."""
    return _counted(pods) >= spec.run_policy.backoff_limit + ended


def _counted(pods: Iterable[PodState]) -> int:
    return sum(end.counted for _, end in failed_pods(pods))


def root_cause(pods: Iterable[PodState]) -> tuple[PodState, Terminated] | None:
    """Of pods that trained together the one that failed first by itself, rather than those that failed because of it.

    Where none did, one that was ended from outside rather than those that lost it.
    """
    failed = failed_pods(pods)
    return min(failed, key=lambda each: (not each[1].counted, each[1].exit_code == ExitCode.PEER_LOST), default=None)


def group_failure(pod: PodState, ended: Terminated, spec: FineTuneJobSpec) -> Failure:
    """Why a run failed, by the pod whose fault it is. The first pod represents all; another one is named."""
    failure = attempt_failure(pod, ended, spec)
    if pod.index == 0:
        return failure
    return failure.model_copy(update={"message": cut(f"pod {pod.index}: {failure.message}")})


def job_failure(end: End, observed: Observation, spec: FineTuneJobSpec) -> Failure:
    """Why the Job failed, by its condition Failed and the newest pods that ended in an error."""
    cause = root_cause(observed.newest) or root_cause(observed.pods)
    if end.cause.reason == Reason.DEADLINE_EXCEEDED:
        limit = spec.run_policy.active_deadline_seconds
        message = f"the job ran longer than runPolicy.activeDeadlineSeconds ({limit} s)"
        # The deadline itself stops the last pods; a time that failures took is not won by a longer one.
        if cause and cause[1].exit_code != ExitCode.STOPPED:
            message += f"; the last failure: {group_failure(*cause, spec).message}"
        hint = "raise runPolicy.activeDeadlineSeconds, or train for fewer epochs"
        return Failure(reason=Reason.DEADLINE_EXCEEDED, message=cut(message), hint=hint)
    if cause is None:
        return Failure(reason=to_reason(end.cause.reason), message=cut(end.cause.message or "the Job failed"))
    last = group_failure(*cause, spec)
    if end.cause.reason == Reason.BACKOFF_LIMIT_EXCEEDED:
        counted = max(1, _counted(observed.pods))
        what = "attempt" if spec.resources.nodes == 1 else "failed pod"
        times = f"gave up after {counted} {what}{'s' if counted != 1 else ''}; the last one: "
        return last.model_copy(update={"message": cut(times + last.message)})
    return last

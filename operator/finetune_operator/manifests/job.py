"""The batch/v1 Job, and what of it may change after it is made.

A Job is made once and never applied again: Kueue and the Job controller own fields of it too. What is requested later
is kept in an annotation, so that only a change of the request is sent, and what others changed meanwhile stays.
"""

import json

from finetune_api.base import JsonObject
from finetune_api.report import NOT_COUNTED, NOT_RETRIED, ExitCode
from finetune_api.v1alpha1 import FineTuneJobSpec
from finetune_api.well_known import TRAINER
from finetune_operator.job.claims import claims
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.job.names import ANNOTATION_REQUESTED
from finetune_operator.job.pod_defaults import PodDefaults
from finetune_operator.job.workload import is_of_kueue
from finetune_operator.manifests.pod import Program, build_pod, training
from finetune_operator.manifests.run_file import ANNOTATION_RUN


def build_job(
    metadata: JsonObject,
    finetunejob: FineTuneJob,
    spec: FineTuneJobSpec,
    pod_defaults: PodDefaults,
    *,
    run_file: str,
    run_secret: str | None,
) -> JsonObject:
    """The Job that trains. Retries, deadlines, preemption and suspension are Kubernetes' own."""
    program = training(claims(finetunejob, spec), spec, run_file, run_secret)
    return job_of({"name": finetunejob.names.job, **metadata}, finetunejob, spec, pod_defaults, program)


def job_of(
    metadata: JsonObject, finetunejob: FineTuneJob, spec: FineTuneJobSpec, pod_defaults: PodDefaults, program: Program
) -> JsonObject:
    """A Job with this metadata whose pods run `program`, by the policies of `spec`."""
    wanted = requested(spec)
    # Kueue reads its queue from a label of the Job.
    labels = {**metadata["labels"], **spec.pod.labels}
    # Some annotations it reads from the Job and some, such as those of topology, from the pods.
    of_kueue = {key: value for key, value in spec.pod.annotations.items() if is_of_kueue(key)}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {**metadata, "labels": labels, "annotations": {**of_kueue, ANNOTATION_REQUESTED: _text(wanted)}},
        "spec": {
            **_pods(spec.resources.nodes),
            **wanted,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {"rules": _FAILURE_RULES},
            "template": {
                "metadata": {
                    "labels": labels,
                    "annotations": {**spec.pod.annotations, ANNOTATION_RUN: program.run_file},
                },
                "spec": build_pod(finetunejob, spec, pod_defaults, program),
            },
        },
    }


def _on_exit(action: str, codes: tuple[ExitCode, ...]) -> JsonObject:
    values = sorted(int(code) for code in codes)
    return {"action": action, "onExitCodes": {"containerName": TRAINER, "operator": "In", "values": values}}


_NO_LIMIT = 2_147_483_647
_FAILURE_RULES: list[JsonObject] = [
    # The first rule that fits decides. A pod that is taken away may lose its volume or its memory before it ends: what
    # it reports then is no mistake of the user's yet. If it is, the next attempt reports it again.
    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
    _on_exit("FailJob", NOT_RETRIED),
    # What follows from something else is not counted: a lost peer is counted itself, a stop came from outside. Counted
    # for each pod, one preemption in a run of four would use up a limit of three. A fault of the run itself has another
    # code on the pod where it happens, and so have pods that run and cannot reach each other: neither repeats uncounted.
    _on_exit("Ignore", NOT_COUNTED),
    # Any other is counted and tried again, also of a container that could not be started (128, StartError): of an image
    # without the trainer that is in vain, but a driver, a hook or a disk of the node fails so too, and the next pod may be on
    # another node. Such tries take seconds and no GPU's time, and the status says after the first one what is wrong.
]


def _pods(nodes: int) -> JsonObject:
    """How many there are. The first of many writes what the run makes, so that its success is the success of all."""
    if nodes == 1:
        return {"completions": 1, "parallelism": 1}
    return {
        "completions": nodes,
        "parallelism": nodes,
        "completionMode": "Indexed",
        # The limit is backoffLimit, for all of them together. With this one, which is never reached before, Kubernetes
        # delays each pod by its own failures: by those of all, eight pods that end as one come back after ten minutes.
        "backoffLimitPerIndex": _NO_LIMIT,
        "successPolicy": {"rules": [{"succeededIndexes": "0"}]},
    }


def requested(spec: FineTuneJobSpec) -> JsonObject:
    """What is requested of the changeable fields of a Job that has not ended."""
    wanted: JsonObject = {"suspend": spec.suspend, "backoffLimit": spec.run_policy.backoff_limit}
    if spec.run_policy.active_deadline_seconds is not None:
        wanted["activeDeadlineSeconds"] = spec.run_policy.active_deadline_seconds
    return wanted


def was_suspended(last_requested: str | None) -> bool:
    """Whether a Job was to be suspended when that was requested."""
    return _read(last_requested).get("suspend") is True


def changes(last_requested: str | None, spec: FineTuneJobSpec, *, started_by_queue: bool = False) -> JsonObject | None:
    """The merge patch that brings a running Job to what is requested now, or None where nothing changed.

    `last_requested` is the annotation's text; where it is missing or cannot be read, all fields are sent. What a queue holds
    (`started_by_queue`) is started by that alone: Kueue would stop a Job at once that it has not admitted.
    """
    before, wanted = _read(last_requested), requested(spec)
    changed = {name: value for name, value in wanted.items() if before.get(name) != value}
    if "activeDeadlineSeconds" in before and "activeDeadlineSeconds" not in wanted:
        changed["activeDeadlineSeconds"] = None
    patch = _patch(wanted, changed)
    if patch is not None and started_by_queue and not spec.suspend:
        patch["spec"].pop("suspend", None)
    return patch


def changes_after_the_end(last_requested: str | None, spec: FineTuneJobSpec) -> JsonObject | None:
    """The merge patch that hands the time to live to a Job whose end is in the FineTuneJob's status.

    Not before: a Job that is cleaned up before the operator has seen its end would look as if it had never run.
    """
    before, seconds = _read(last_requested), spec.run_policy.ttl_seconds_after_finished
    if before.get(_TTL) == seconds:
        return None
    wanted = {**before, _TTL: seconds}
    return _patch({name: value for name, value in wanted.items() if value is not None}, {_TTL: seconds})


_TTL = "ttlSecondsAfterFinished"


def _patch(wanted: JsonObject, changed: JsonObject) -> JsonObject | None:
    if not changed:
        return None
    return {"metadata": {"annotations": {ANNOTATION_REQUESTED: _text(wanted)}}, "spec": changed}


def _read(annotation: str | None) -> JsonObject:
    try:
        before = json.loads(annotation or "{}")
    except (ValueError, RecursionError):  # whoever may edit Jobs may nest it deep
        return {}
    return before if isinstance(before, dict) else {}


def _text(wanted: JsonObject) -> str:
    return json.dumps(wanted, sort_keys=True)

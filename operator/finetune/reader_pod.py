"""A pod that mounts a job's claim to be read, and the commands that fetch a model by it: a client alone reaches no volume."""

import shlex
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import unquote

from finetune.errors import NotFound, Refused
from finetune.kept_profile import pod_of
from finetune.snapshot import Snapshot
from finetune_api.base import JsonObject
from finetune_api.well_known import USER

_SECONDS: Final = 3600
"""After so long the pod ends, in case nobody deletes it."""
_MOUNT: Final = "/output"


_PLACEMENT: Final = ("imagePullSecrets", "nodeSelector", "tolerations", "runtimeClassName", "schedulerName")
"""Without which the image is not pulled, or the pod not where the claim is, as for the job's own."""


def reader_name(job: Snapshot) -> str:
    """Return the name of the pod."""
    return f"{job.name[:50].rstrip('-.')}-reader"


def reader_pod(job: Snapshot, uri: str) -> JsonObject:
    """Return the manifest of a pod that sleeps for an hour with the claim of `uri` at /output, as the strictest Pod Security has it.

    Raises:
        Refused: It is on no claim, or `spec.pod` cannot be read.
        NotFound: The status does not name the trainer's image.
    """
    if not uri.startswith("pvc://"):
        raise Refused(f"{uri} is on no volume: without --reader-pod it is downloaded")
    settings = pod_of(job)
    pod = settings.to_wire()
    image = settings.image or (job.status.provenance and job.status.provenance.image)
    if not image:
        raise NotFound(
            f"{job.name} does not say by which image it was trained: start a pod with tar that mounts its claim"
        )
    ids = pod.get("securityContext") or {"runAsUser": USER, "runAsGroup": USER, "fsGroup": USER}
    container = {
        "name": "reader",
        "image": image,
        "command": ["sleep", str(_SECONDS)],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"cpu": "1", "memory": "256Mi"}},
        "volumeMounts": [{"name": "output", "mountPath": _MOUNT, "readOnly": True}],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "activeDeadlineSeconds": _SECONDS,
        "terminationGracePeriodSeconds": 1,
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            **ids,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [{"name": "output", "persistentVolumeClaim": {"claimName": _claim(uri)[0], "readOnly": True}}],
        **{name: value for name in _PLACEMENT if (value := pod.get(name))},
    }
    metadata = {"name": reader_name(job), "namespace": job.namespace}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def fetching_commands(job: Snapshot, uri: str, checkpoint: str | None, folder: str) -> list[str]:
    """Return what to type, in this order, to have what is at `uri` in `folder`, verified."""
    kubectl, pod = f"kubectl -n {job.namespace}", reader_name(job)
    finetune = f"finetune download {job.name} -n {job.namespace}{f' --checkpoint {checkpoint}' if checkpoint else ''}"
    to = shlex.quote(folder)
    return [
        f"{finetune} --reader-pod | {kubectl} apply -f -",
        f"{kubectl} wait --for=condition=Ready --timeout=10m pod/{pod}",
        f"{kubectl} cp {shlex.quote(f'{pod}:{_MOUNT}/{_claim(uri)[1]}')} {to}",
        f"{finetune} --verify {to}",
        f"{kubectl} delete pod {pod}",
    ]


def tracking_commands(job: Snapshot, output: str, files: Sequence[str]) -> list[str]:
    """Return what to type, in this order, to send to its trackers what has not arrived of a job whose output is on a volume."""
    kubectl, pod, folder = f"kubectl -n {job.namespace}", reader_name(job), f"{job.name}-history"
    finetune = f"finetune track {job.name} -n {job.namespace}"
    path = "/".join(filter(None, (_MOUNT, _claim(output)[1])))
    return [
        f"{finetune} --reader-pod | {kubectl} apply -f -",
        f"{kubectl} wait --for=condition=Ready --timeout=10m pod/{pod}",
        *(f"{kubectl} cp {shlex.quote(f'{pod}:{path}/{name}')} {folder}/{name}" for name in files),
        f"{finetune} --from {folder}",
        f"{kubectl} delete pod {pod}",
    ]


def _claim(uri: str) -> tuple[str, str]:
    """Claim and path of pvc://claim/path."""
    claim, _, path = uri.removeprefix("pvc://").partition("/")
    return claim, unquote(path)

"""The pod template: one container that trains, hardened, with a place to write and a token to report with."""

import re
from dataclasses import dataclass

from finetune_api.base import JsonObject
from finetune_api.report import AUDIENCE, ENV_CA_CERT, ENV_SERVER_URL, ENV_TERMINATION_LOG, ENV_TOKEN
from finetune_api.v1alpha1 import FineTuneJobSpec
from finetune_operator.manifests.config_map import CA_FILE, RUN_FILE, output_uri
from finetune_operator.manifests.metadata import child_labels
from finetune_operator.names import CONTAINER, config_map_name
from finetune_operator.reports import report_path
from finetune_operator.resource import Resource

GRACE_SECONDS = 120
"""Time to save a checkpoint after SIGTERM."""
TOKEN_SECONDS = 3600
USER = 65532

_CONFIG_DIR = "/etc/finetune"
_TOKEN_DIR = "/var/run/secrets/finetune.dev"  # noqa: S105 - a path
_SCRATCH_DIR = "/scratch"
_VOLUMES_DIR = "/mnt/volumes"
_TERMINATION_LOG = "/dev/termination-log"
_GPU = "nvidia.com/gpu"


@dataclass(frozen=True)
class Surroundings:
    """What the operator, and not the user, knows about the pod."""

    image: str
    """Image of the trainer where the user names none."""
    reports_url: str
    """Base of the report endpoint, such as https://finetune-operator.finetune-system.svc:8443."""
    ca: str
    """PEM bundle for it."""


def build_pod_template(resource: Resource, spec: FineTuneJobSpec, surroundings: Surroundings) -> JsonObject:
    """The Job's `spec.template`."""
    claims = _claims(resource, spec)
    pod: JsonObject = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            # Without this each start walks a whole volume to change its files' group.
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(resource, spec, surroundings, claims)],
        "volumes": _volumes(resource, claims),
        **_placement(spec),
    }
    metadata: JsonObject = {"labels": {**spec.pod.labels, **child_labels(resource)}}
    if spec.pod.annotations:
        metadata["annotations"] = spec.pod.annotations
    return {"metadata": metadata, "spec": pod}


def _placement(spec: FineTuneJobSpec) -> JsonObject:
    pod = spec.pod.to_wire()
    names = ("serviceAccountName", "imagePullSecrets", "nodeSelector", "tolerations", "priorityClassName")
    return {name: pod[name] for name in names if pod.get(name)}


def _container(
    resource: Resource, spec: FineTuneJobSpec, surroundings: Surroundings, claims: dict[str, bool]
) -> JsonObject:
    volumes = [argument for claim in claims for argument in ("--volume", f"{claim}={_VOLUMES_DIR}/{claim}")]
    return {
        "name": CONTAINER,
        "image": spec.pod.image or surroundings.image,
        "command": ["python", "-m", "finetune_trainer"],
        "args": ["--config", f"{_CONFIG_DIR}/{RUN_FILE}", *volumes],
        "env": _env(resource, spec, surroundings),
        "resources": _resources(spec),
        "volumeMounts": _mounts(claims),
        "terminationMessagePath": _TERMINATION_LOG,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def _env(resource: Resource, spec: FineTuneJobSpec, surroundings: Surroundings) -> list[JsonObject]:
    """Ours first; a variable of the user replaces ours. Stock transformers reads the three of KUBEFLOW_TRAINER_."""
    key = resource.key
    ours = {
        "HOME": _SCRATCH_DIR,
        "HF_HOME": f"{_SCRATCH_DIR}/huggingface",
        "TMPDIR": "/tmp",  # noqa: S108 - the pod's own emptyDir
        ENV_TERMINATION_LOG: _TERMINATION_LOG,
        ENV_SERVER_URL: f"{surroundings.reports_url}{report_path(key.namespace, key.name)}",
        ENV_CA_CERT: f"{_CONFIG_DIR}/{CA_FILE}",
        ENV_TOKEN: f"{_TOKEN_DIR}/token",
    }
    values: list[JsonObject] = [{"name": name, "value": value} for name, value in ours.items()]
    if spec.resources.cpu:
        # torch counts the node's cores. More threads than the limit lets run only wait for each other.
        limit = {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1"}}
        values.append({"name": "OMP_NUM_THREADS", "valueFrom": limit})
    theirs = [variable.to_wire() for variable in spec.pod.env]
    replaced = {variable["name"] for variable in theirs}
    return [variable for variable in values if variable["name"] not in replaced] + theirs


def _resources(spec: FineTuneJobSpec) -> JsonObject:
    asked = {name: value for name, value in (("cpu", spec.resources.cpu), ("memory", spec.resources.memory)) if value}
    limits = {**asked, **({_GPU: str(spec.resources.gpus)} if spec.resources.gpus else {})}
    return {name: amounts for name, amounts in (("requests", asked), ("limits", limits)) if amounts}


def _claims(resource: Resource, spec: FineTuneJobSpec) -> dict[str, bool]:
    """Every claim that the run names, the output's first, and whether it is written to."""
    output = _claim_of(output_uri(resource, spec))
    named = (output, _claim_of(spec.model.source), _claim_of(spec.dataset.source))
    return {claim: claim == output for claim in named if claim}


def _claim_of(uri: str) -> str | None:
    match = re.match(r"pvc://([^/]+)", uri)
    return match.group(1) if match else None


def _mounts(claims: dict[str, bool]) -> list[JsonObject]:
    fixed: list[JsonObject] = [
        {"name": "config", "mountPath": _CONFIG_DIR, "readOnly": True},
        {"name": "token", "mountPath": _TOKEN_DIR, "readOnly": True},
        {"name": "scratch", "mountPath": _SCRATCH_DIR},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
        {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108
    ]
    return fixed + [
        {"name": f"claim-{index}", "mountPath": f"{_VOLUMES_DIR}/{claim}", "readOnly": not writable}
        for index, (claim, writable) in enumerate(claims.items())
    ]


def _volumes(resource: Resource, claims: dict[str, bool]) -> list[JsonObject]:
    fixed: list[JsonObject] = [
        {"name": "config", "configMap": {"name": config_map_name(resource.key.name)}},
        {
            "name": "token",
            "projected": {
                "sources": [
                    {
                        "serviceAccountToken": {
                            "audience": AUDIENCE,
                            "expirationSeconds": TOKEN_SECONDS,
                            "path": "token",
                        }
                    }
                ]
            },
        },
        {"name": "scratch", "emptyDir": {}},
        {"name": "tmp", "emptyDir": {}},
        # Workers of a data loader hand batches over in shared memory; a container's own 64 MiB are not enough.
        {"name": "shm", "emptyDir": {"medium": "Memory"}},
    ]
    # A claim's name may hold dots, a volume's may not.
    return fixed + [
        {"name": f"claim-{index}", "persistentVolumeClaim": {"claimName": claim}} for index, claim in enumerate(claims)
    ]

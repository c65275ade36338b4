"""Credentials: each Secret that the manifest names is a volume of the pod, and is copied nowhere else.

Files rather than variables: an environment is inherited by each process that the trainer starts, and shown by many
tools. A Secret that is not there keeps the pod from starting, and the kubelet's Event names it.
"""

from finetune_api.base import JsonObject
from finetune_api.v1alpha1 import FineTuneJobSpec
from finetune_operator.manifests.paths import RUN_SECRET_DIR, SECRETS_DIR

_OF_RUN = "run-secret"
_MODE = 0o440
"""For the pod's user by its group (fsGroup), and for no other."""


def secret_names(spec: FineTuneJobSpec) -> dict[str, str]:
    """Name of the Secret by what it is for: model, dataset, output, tracking."""
    references = {
        "model": spec.model.secret_ref,
        "dataset": spec.dataset.secret_ref,
        "output": spec.output.secret_ref,
        "tracking": spec.tracking.secret_ref if spec.tracking else None,
    }
    return {role: reference.name for role, reference in references.items() if reference}


def secret_mounts(spec: FineTuneJobSpec) -> list[JsonObject]:
    """Where the container sees them: a folder for each, a file for each key."""
    return [
        {"name": f"secret-{role}", "mountPath": f"{SECRETS_DIR}/{role}", "readOnly": True}
        for role in secret_names(spec)
    ]


def secret_volumes(spec: FineTuneJobSpec) -> list[JsonObject]:
    """The pod's volumes for `secret_mounts`."""
    return [
        {"name": f"secret-{role}", "secret": {"secretName": name, "defaultMode": _MODE}}
        for role, name in secret_names(spec).items()
    ]


def mounted_run_secret(job: JsonObject) -> str | None:
    """Return the name of the run's own Secret that a Job's pods mount; None if they mount none."""
    volumes = job["spec"].get("template", {}).get("spec", {}).get("volumes") or ()
    return next((each["secret"]["secretName"] for each in volumes if each["name"] == _OF_RUN), None)


def run_secret_mounts(name: str | None) -> list[JsonObject]:
    """Where the container sees the run's own Secret `name`."""
    return [{"name": _OF_RUN, "mountPath": RUN_SECRET_DIR, "readOnly": True}] if name else []


def run_secret_volumes(name: str | None) -> list[JsonObject]:
    """The pod's volume for `run_secret_mounts`."""
    return [{"name": _OF_RUN, "secret": {"secretName": name, "defaultMode": _MODE}}] if name else []

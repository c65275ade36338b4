"""The environment of the trainer's container."""

import math
from collections.abc import Iterable

from finetune_api.base import JsonObject
from finetune_api.quantity import parse_quantity
from finetune_api.report import (
    ENV_CA_CERT,
    ENV_CONFIG_DIGEST,
    ENV_NODE_RANK,
    ENV_PRIVATE_ADDRESSES,
    ENV_PROGRESS_DEADLINE,
    ENV_RENDEZVOUS,
    ENV_RUN_SECRET,
    ENV_SECRET_PATHS,
    ENV_SECRET_VARIABLES,
    ENV_SECRETS,
    ENV_SERVER_URL,
    ENV_TERMINATION_LOG,
    ENV_TOKEN,
    ENV_TOKENS,
)
from finetune_api.v1alpha1 import FineTuneJobSpec, Resources
from finetune_api.well_known import LABEL_INDEX
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.job.report import report_path
from finetune_operator.manifests.authority import CA_FILE
from finetune_operator.manifests.paths import (
    CONFIG_DIR,
    RUN_SECRET_DIR,
    SCRATCH_DIR,
    SECRETS_DIR,
    TEMPORARY_DIR,
    TERMINATION_LOG,
    TOKEN_DIR,
)
from finetune_operator.manifests.run_secret import KEY
from finetune_operator.manifests.service import rendezvous


def build_environment(
    finetunejob: FineTuneJob,
    spec: FineTuneJobSpec,
    reports_url: str,
    *,
    shared: Iterable[JsonObject] = (),
    secrets: bool,
    run_secret: bool = False,
    private_addresses: bool = False,
    config_digest: str,
    tokens: str | None = None,
    user: str | None = None,
) -> list[JsonObject]:
    """Ours first; a variable of the user replaces ours. Stock transformers reads the three of KUBEFLOW_TRAINER_.

    Args:
        shared: Variables of the run's profile, which no variable of the user replaces.
        secrets: Whether any Secret of the manifest is mounted.
        run_secret: Whether that of the run is.
        private_addresses: Whether https:// sources may lead to private addresses.
        config_digest: Of the `run.yaml` that is mounted.
        tokens: Folder where tokenized rows are left for the pods that come after this one, if there is one.
        user: Name of the user, where the image has none for its id.
    """
    resources = spec.resources
    ours = {
        "HOME": SCRATCH_DIR,
        "HF_HOME": f"{SCRATCH_DIR}/huggingface",
        "TMPDIR": TEMPORARY_DIR,
        ENV_CONFIG_DIGEST: config_digest,
        ENV_PROGRESS_DEADLINE: str(spec.run_policy.progress_deadline_seconds or "auto"),
        ENV_TERMINATION_LOG: TERMINATION_LOG,
        ENV_SERVER_URL: f"{reports_url}{report_path(finetunejob.key)}",
        ENV_CA_CERT: f"{CONFIG_DIR}/{CA_FILE}",
        ENV_TOKEN: f"{TOKEN_DIR}/token",
    }
    if secrets:
        ours[ENV_SECRETS] = SECRETS_DIR
    ours |= _secrets_of_the_pod(spec)
    if private_addresses:
        ours[ENV_PRIVATE_ADDRESSES] = "allow"
    if run_secret:
        ours[ENV_RUN_SECRET] = f"{RUN_SECRET_DIR}/{KEY}"
    if user:
        ours["USER"] = user
    if tokens:
        ours[ENV_TOKENS] = tokens
    if resources.cpu:
        ours["OMP_NUM_THREADS"] = str(_threads(resources, resources.cpu))
    if resources.nodes > 1:
        ours[ENV_RENDEZVOUS] = rendezvous(finetunejob)
    values: list[JsonObject] = [{"name": name, "value": value} for name, value in ours.items()]
    if resources.nodes > 1:
        index = {"fieldRef": {"fieldPath": f"metadata.annotations['{LABEL_INDEX}']"}}
        values.append({"name": ENV_NODE_RANK, "valueFrom": index})
    return _merged(values, [variable.to_wire() for variable in spec.pod.env], list(shared))


def _merged(ours: list[JsonObject], theirs: list[JsonObject], fixed: list[JsonObject]) -> list[JsonObject]:
    """One variable of each name: the user's in place of ours, and a fixed one in place of the user's."""
    taken = {variable["name"] for variable in fixed}
    theirs = [variable for variable in theirs if variable["name"] not in taken]
    replaced = {variable["name"] for variable in theirs}
    return [variable for variable in ours if variable["name"] not in replaced] + theirs + fixed


def _secrets_of_the_pod(spec: FineTuneJobSpec) -> dict[str, str]:
    """Say what of `spec.pod` comes from a Secret, so that the trainer shows nothing of it."""
    variables = [each.name for each in spec.pod.env if each.value_from and each.value_from.secret_key_ref]
    volumes = {volume.name for volume in spec.pod.volumes if volume.secret}
    paths = [mount.mount_path for mount in spec.pod.volume_mounts if mount.name in volumes]
    named = {ENV_SECRET_VARIABLES: ",".join(variables), ENV_SECRET_PATHS: ":".join(paths)}
    return {name: value for name, value in named.items() if value}


def _threads(resources: Resources, cpu: str) -> int:
    """Threads of each process. torch counts the node's cores; more threads than the limit lets run only wait."""
    processes = resources.processes_per_node or resources.gpus or 1
    return max(1, math.ceil(parse_quantity(cpu) / processes))

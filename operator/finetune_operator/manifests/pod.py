"""The pod: one container of the trainer, hardened, with a place to write and a token to report with."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from finetune_api.base import JsonObject
from finetune_api.profile import Defaults
from finetune_api.quantity import parse_quantity
from finetune_api.report import AUDIENCE
from finetune_api.run import TERMINATION_GRACE_SECONDS
from finetune_api.v1alpha1 import FineTuneJobSpec
from finetune_api.well_known import TRAINER
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.job.names import AUTHORITY
from finetune_operator.job.pod_defaults import PodDefaults
from finetune_operator.manifests.authority import CA_FILE
from finetune_operator.manifests.cache import cache_environment, cache_mounts, cache_volumes, own_volume_environment
from finetune_operator.manifests.environment import build_environment
from finetune_operator.manifests.extra_volumes import extra_mounts, extra_volumes
from finetune_operator.manifests.network import network_environment, trust_mounts, trust_volumes
from finetune_operator.manifests.paths import (
    CONFIG_DIR,
    SCRATCH_DIR,
    SHARED_MEMORY_DIR,
    TEMPORARY_DIR,
    TERMINATION_LOG,
    TOKEN_DIR,
    VOLUMES_DIR,
)
from finetune_operator.manifests.placement import build_ids, build_placement, build_resources
from finetune_operator.manifests.run_file import RUN_FILE, digest_of, run_file_source
from finetune_operator.manifests.secrets import run_secret_mounts, run_secret_volumes, secret_mounts, secret_volumes

TOKEN_SECONDS = 3600


@dataclass(frozen=True)
class Program:
    """What a pod runs, and with what."""

    claims: Mapping[str, bool]
    """Every claim that it mounts, and whether it is written to."""
    resources: JsonObject
    """Requests and limits."""
    run_file: str
    """The text of `run.yaml`."""
    command: tuple[str, ...] = ()
    """Arguments of the trainer before all others."""
    run_secret: str | None = None
    """Name of the Secret that pods of one run prove to each other."""


def training(claims: Mapping[str, bool], spec: FineTuneJobSpec, run_file: str, run_secret: str | None) -> Program:
    """The program that trains."""
    return Program(claims, build_resources(spec), run_file, run_secret=run_secret)


def build_pod(
    finetunejob: FineTuneJob, spec: FineTuneJobSpec, pod_defaults: PodDefaults, program: Program
) -> JsonObject:
    """The spec of a pod that runs `program`."""
    secrets, credentials = secret_mounts(spec), secret_volumes(spec)
    run_mounts, run_volumes = run_secret_mounts(program.run_secret), run_secret_volumes(program.run_secret)
    settings = finetunejob.profile
    shared_mounts = [*cache_mounts(settings), *trust_mounts(settings)]
    shared_volumes = [*cache_volumes(settings), *trust_volumes(settings)]
    ids, placement = build_ids(spec, platform_user=pod_defaults.platform_user), build_placement(spec, finetunejob.uid)
    environment = _environment(
        finetunejob, spec, pod_defaults, program, secrets=bool(secrets), own_user="runAsUser" in ids
    )
    pod: JsonObject = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": TERMINATION_GRACE_SECONDS,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            **ids,
            # Without this each start walks a whole volume to change its files' group.
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            _container(
                spec.pod.image or pod_defaults.image,
                program,
                environment,
                [*run_mounts, *shared_mounts, *secrets, *extra_mounts(spec)],
            )
        ],
        "volumes": [
            *_volumes(finetunejob.profile.defaults),
            *_claim_volumes(program.claims),
            *run_volumes,
            *shared_volumes,
            *credentials,
            *extra_volumes(spec),
        ],
        **placement,
    }
    if spec.resources.nodes > 1:
        pod["subdomain"] = finetunejob.names.service
    return pod


def _environment(
    finetunejob: FineTuneJob,
    spec: FineTuneJobSpec,
    pod_defaults: PodDefaults,
    program: Program,
    *,
    secrets: bool,
    own_user: bool,
) -> list[JsonObject]:
    settings, reports_url = finetunejob.profile, pod_defaults.reports_url
    return build_environment(
        finetunejob,
        spec,
        reports_url,
        shared=[
            *cache_environment(settings),
            *own_volume_environment(finetunejob, spec, program.claims),
            *network_environment(settings, reports_url),
        ],
        config_digest=digest_of(program.run_file),
        secrets=secrets,
        run_secret=bool(program.run_secret),
        private_addresses=pod_defaults.private_addresses,
        tokens=_tokens(spec, program.claims),
        # An id of the platform's has no name in the image, and torch asks for one to name its caches by.
        user=None if own_user else "finetune",
    )


def _container(image: str, program: Program, environment: list[JsonObject], mounts: list[JsonObject]) -> JsonObject:
    volumes = [argument for claim in program.claims for argument in ("--volume", f"{claim}={VOLUMES_DIR}/{claim}")]
    return {
        "name": TRAINER,
        "image": image,
        "command": ["python", "-m", "finetune_trainer"],
        "args": [*program.command, "--config", f"{CONFIG_DIR}/{RUN_FILE}", *volumes],
        "env": environment,
        "resources": program.resources,
        "volumeMounts": [*_mounts(program.claims), *mounts],
        "terminationMessagePath": TERMINATION_LOG,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def _tokens(spec: FineTuneJobSpec, claims: Mapping[str, bool]) -> str | None:
    """The folder for the tokens that the preflight leaves for the training: on the volume of the output, if both mount it."""
    uri = spec.output.uri or ""
    if spec.run_policy.preflight != "pod" or not (uri and any(claims.values())):
        return None
    return f"{VOLUMES_DIR}/{unquote(uri.removeprefix('pvc://')).rstrip('/')}/.tokens"


def _mounts(claims: Mapping[str, bool]) -> list[JsonObject]:
    fixed: list[JsonObject] = [
        {"name": "config", "mountPath": CONFIG_DIR, "readOnly": True},
        {"name": "token", "mountPath": TOKEN_DIR, "readOnly": True},
        {"name": "scratch", "mountPath": SCRATCH_DIR},
        {"name": "tmp", "mountPath": TEMPORARY_DIR},
        {"name": "shm", "mountPath": SHARED_MEMORY_DIR},
    ]
    return fixed + [
        {"name": f"claim-{index}", "mountPath": f"{VOLUMES_DIR}/{claim}", "readOnly": not writable}
        for index, (claim, writable) in enumerate(claims.items())
    ]


def _volumes(defaults: Defaults) -> list[JsonObject]:
    token = {"audience": AUDIENCE, "expirationSeconds": TOKEN_SECONDS, "path": "token"}
    authority = {"configMap": {"name": AUTHORITY, "items": [{"key": CA_FILE, "path": CA_FILE}]}}
    return [
        {"name": "config", "projected": {"sources": [run_file_source(), authority]}},
        {"name": "token", "projected": {"sources": [{"serviceAccountToken": token}]}},
        {"name": "scratch", "emptyDir": _limited(defaults.scratch)},
        {"name": "tmp", "emptyDir": _limited(defaults.tmp)},
        # Processes hand batches and gradients over in shared memory; a container's own 64 MiB are not enough.
        {"name": "shm", "emptyDir": {"medium": "Memory", **_limited(defaults.shared_memory)}},
    ]


def _limited(size: str) -> JsonObject:
    return {"sizeLimit": size} if parse_quantity(size) else {}


def _claim_volumes(claims: Mapping[str, bool]) -> list[JsonObject]:
    # A claim's name may hold dots, a volume's may not.
    return [
        {"name": f"claim-{index}", "persistentVolumeClaim": {"claimName": claim}} for index, claim in enumerate(claims)
    ]

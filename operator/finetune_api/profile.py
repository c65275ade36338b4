"""`FineTuneProfile`: what a platform team allows its users, and what they need not know about the cluster.

It is cluster-scoped, in the same group and version as the FineTuneJob. A job names its profile in `spec.profile`; one that
names none has that of its namespace's label `finetune.dev/profile`, or else the one that is called `default`. Every field has
a default; all of them together, with limits to what a job may ask for, are the safe profile, which holds where there is no
profile at all.
"""

from typing import Annotated, Final, TypeAlias

from pydantic import AfterValidator, Field

from finetune_api.base import ApiModel
from finetune_api.labels import LabelSelector, LabelValue, ObjectName, StorageClassName
from finetune_api.notify import NotifyTargets
from finetune_api.pod import LocalReference, PodSettings
from finetune_api.quantity import Quantity
from finetune_api.rules import Rule, enforce, validations
from finetune_api.sources import OutputTemplate, SecretReference
from finetune_api.text import Pattern, Text
from finetune_api.tracking import Tracking

KIND: Final = "FineTuneProfile"
PLURAL: Final = "finetuneprofiles"
SINGULAR: Final = "finetuneprofile"
SHORT_NAME: Final = "ftp"
NAMESPACE_LABEL: Final = "finetune.dev/profile"
"""Label of a namespace: the profile of its jobs that name none."""
DEFAULT_NAME: Final = "default"
"""The profile of jobs that have none by themselves or by their namespace."""

Glob: TypeAlias = Annotated[str, Field(min_length=1, max_length=256), Pattern(r"^[^\s\\*]*([*][^\s\\*]*){0,4}$")]
"""`*` is any text, also none and also with `/`; `{namespace}` and `{name}` are those of the job."""
_GLOBS_FIT: Final = Rule[list[str]](
    # Of this hangs what an admission policy costs, which an API server bounds.
    cel="self.map(glob, size(glob)).sum() <= 1024",
    holds=lambda globs: sum(map(len, globs)) <= 1024,
    message="takes at most 1024 characters in all: use * for what names have in common",
)
Globs: TypeAlias = Annotated[
    list[Glob],
    Field(max_length=32, json_schema_extra=validations(_GLOBS_FIT)),
    AfterValidator(lambda globs: enforce(globs, _GLOBS_FIT)),
]
Seconds: TypeAlias = Annotated[int, Field(ge=0, le=31_536_000)]


class DefaultResources(ApiModel):
    """What a training pod asks for where its job does not say."""

    cpu: Quantity = "2"
    """CPU cores, request and limit. "0" is none."""
    memory: Quantity = "8Gi"
    """Memory, request and limit. "0" is none."""


class Defaults(PodSettings):
    """What a job has where it does not say. Merged under its own fields: of a map or list the job has its own entries besides these, of a map and of env its own win. What is here needs not be allowed."""

    resources: DefaultResources = DefaultResources()
    """What a training pod asks for. Lowered to `limits`."""
    scratch: Quantity = "100Gi"
    """Most that a pod may write to its scratch volume, where models and data are cached, and to each emptyDir of pod.volumes. "0" is no limit."""
    tmp: Quantity = "10Gi"
    """Most that a pod may write to /tmp. "0" is no limit."""
    shared_memory: Quantity = "4Gi"
    """Most that a pod may use of /dev/shm, and of each emptyDir of pod.volumes in memory; it counts as memory. "0" is no limit but that."""
    queue: LabelValue | None = None
    """Queue of Kueue: the label kueue.x-k8s.io/queue-name of the job."""
    active_deadline_seconds: Seconds = 86_400
    """runPolicy.activeDeadlineSeconds. Lowered to `limits`. 0 is none."""
    pre_running_deadline_seconds: Seconds = 0
    """runPolicy.preRunningDeadlineSeconds. 0 is none."""
    ttl_seconds_after_finished: Seconds | None = None
    """runPolicy.ttlSecondsAfterFinished. Pods are kept if left out."""
    output: OutputTemplate | None = None
    """output.uri, such as s3://models/{namespace}/{name}. If left out the operator makes a volume for the job."""
    output_size: Quantity | None = None
    """output.size, of the volume that the operator makes. 10Gi if left out."""
    storage_class_name: StorageClassName | None = None
    """output.storageClassName, of the volume that the operator makes. The cluster's default if left out."""
    secret_ref: SecretReference | None = None
    """output.secretRef, for outputs that are not on a volume."""
    notify: NotifyTargets = []
    """Who is told besides those of a job's notify. Of one name, the job's own wins."""
    tracking: Tracking | None = None
    """Trackers of jobs that name none. A job that names any has its own alone."""


class Limits(ApiModel):
    """The most that a job may ask for; no limit where a field is left out. What has a limit and no default is asked for to its limit."""

    gpus: Annotated[int, Field(ge=0, le=64)] | None = None
    """resources.gpus, of each pod."""
    nodes: Annotated[int, Field(ge=1, le=256)] | None = None
    """resources.nodes."""
    cpu: Quantity | None = None
    """resources.cpu, of each pod."""
    memory: Quantity | None = None
    """resources.memory, of each pod."""
    output_size: Quantity | None = None
    """output.size, of the volume that the operator makes."""
    active_deadline_seconds: Annotated[int, Field(ge=1, le=31_536_000)] | None = None
    """runPolicy.activeDeadlineSeconds."""
    backoff_limit: Annotated[int, Field(ge=0, le=100)] | None = None
    """runPolicy.backoffLimit."""
    gpu_seconds_per_namespace: Annotated[int, Field(ge=0, le=9_007_199_254_740_991)] | None = None
    """GPU-seconds that the jobs of one namespace may use in a calendar month (UTC), those of other profiles included. Once they are used up, jobs that have not begun wait for the next month; those that run go on."""


class Allow(ApiModel):
    """What a job may name itself. A list left out is that of the safe profile, an empty one allows nothing. In each entry `*` is any text, and {namespace} and {name} are those of the job."""

    images: Globs = []
    """pod.image, and images in pod.volumes."""
    service_accounts: Globs = ["default"]
    """pod.serviceAccountName."""
    secrets: Globs = ["finetune-*"]
    """Names of Secrets, wherever a job names one: secretRef of model, dataset, output and tracking, pod.env, pod.volumes, pod.imagePullSecrets."""
    config_maps: Globs = ["finetune-*"]
    """Names of ConfigMaps in pod.env and pod.volumes."""
    priority_classes: Globs = []
    """pod.priorityClassName."""
    sources: Globs = ["*"]
    """model.source and dataset.source. One on the Hub is hf://org/name, however the job writes it."""
    outputs: Globs = ["*"]
    """output.uri. A job that names none is always allowed."""
    trackers: Globs = ["*"]
    """tracking.mlflow.uri and tracking.trackio.uri."""
    env: Globs = [
        "HF_TOKEN",
        "HF_HUB_OFFLINE",
        "HF_HUB_DOWNLOAD_TIMEOUT",
        "HF_DATASETS_OFFLINE",
        "NCCL_DEBUG",
        "NCCL_DEBUG_SUBSYS",
        "NCCL_IB_*",
        "NCCL_P2P_*",
        "NCCL_SOCKET_IFNAME",
        "OMP_NUM_THREADS",
        "PYTORCH_CUDA_ALLOC_CONF",
        "TOKENIZERS_PARALLELISM",
        "WANDB_API_KEY",
        "WANDB_ENTITY",
        "WANDB_NAME",
        "WANDB_PROJECT",
    ]
    """Names of variables in pod.env."""
    tolerations: Globs = ["nvidia.com/gpu", "amd.com/gpu"]
    """Keys of taints in pod.tolerations. A toleration of every key needs the entry `*`."""
    node_selector_keys: Globs = [
        "amd.com/*",
        "kubernetes.io/arch",
        "node.kubernetes.io/instance-type",
        "nvidia.com/*",
        "topology.kubernetes.io/*",
    ]
    """Keys in pod.nodeSelector."""
    labels: Globs = ["app.kubernetes.io/*", "kueue.x-k8s.io/queue-name"]
    """Keys in pod.labels."""
    annotations: Globs = []
    """Keys in pod.annotations."""
    accelerators: Globs = ["nvidia.com/gpu"]
    """pod.accelerator.resource."""
    resource_claim_templates: Globs = []
    """pod.accelerator.resourceClaimTemplateName."""
    runtime_classes: Globs = []
    """pod.runtimeClassName."""
    schedulers: Globs = []
    """pod.schedulerName."""
    volumes: Globs = ["configMap", "emptyDir", "image", "persistentVolumeClaim", "secret"]
    """Kinds of pod.volumes. Names of ConfigMaps and Secrets, and images, are held to their own lists."""
    claims: Globs = ["*"]
    """Names of claims in pod.volumes. Those of pvc:// are held to sources and outputs."""
    security_context: bool = False
    """Whether pod.securityContext may name users and groups. To leave them to the platform is always allowed."""


_CACHE: Final = Rule["Cache"](
    cel="has(self.claimName) != has(self.size) && (has(self.size) || !has(self.storageClassName))",
    holds=lambda self: (
        (self.claim_name is None) != (self.size is None) and (self.size is not None or self.storage_class_name is None)
    ),
    message="needs claimName, or size with or without storageClassName",
)


class Cache(ApiModel):
    """A volume for models, data and tokens that outlives pods and is shared by the jobs of a namespace: a claim that is there, or one that the operator makes in each namespace."""

    rules = (_CACHE,)

    claim_name: ObjectName | None = None
    """Name of a PersistentVolumeClaim that is in the job's namespace."""
    size: Quantity | None = None
    """Size of the claim that the operator makes."""
    storage_class_name: StorageClassName | None = None
    """StorageClass of the claim that the operator makes. The cluster's default if left out."""


class ConfigMapReference(ApiModel):
    """A ConfigMap in the job's namespace."""

    name: ObjectName
    """Its name."""


class Trust(ApiModel):
    """Certificate authorities besides the public ones, for every connection that a job makes."""

    config_map_ref: ConfigMapReference
    """A ConfigMap in the job's namespace with PEM files under any keys."""


class Proxy(ApiModel):
    """The way out of the cluster's network."""

    secret_ref: LocalReference
    """A Secret in the job's namespace with the keys HTTP_PROXY, HTTPS_PROXY and NO_PROXY, as far as they are needed."""


class NotifyRules(ApiModel):
    """Where the operator sends what a job's notify asks for. In each entry `*` is any text, and {namespace} and {name} are those of the job."""

    hosts: Globs = ["*"]
    """Hosts of the URLs that a job may name, without a port."""
    private_hosts: Globs = []
    """Those of them that may be at private, loopback and link-local addresses, and be reached by http://."""


class Hub(ApiModel):
    """The Hugging Face Hub, or a mirror of it."""

    endpoint: Annotated[
        str,
        Text(
            pattern=r"^https?://[^\s/?#@]+(/[^\s?#@]*)?$",
            message="must be https://host, with a port or a path if there is one",
            max_length=512,
        ),
    ]
    """URL that takes the place of https://huggingface.co."""


class Price(ApiModel):
    """What a GPU costs, for status.usage.cost."""

    gpu_hour: Annotated[
        str,
        Text(
            pattern=r"^[0-9]{1,9}(\.[0-9]{1,6})?$", message='must be a number in quotes, such as "2.50"', max_length=16
        ),
    ]
    """For one hour of one GPU, in quotes, such as "2.50"."""
    currency: Annotated[
        str, Text(pattern=r"^[A-Z]{3}$", message="must be three capitals, such as EUR", max_length=3)
    ] = "USD"
    """Code of the currency."""


class ProfileSettings(ApiModel):
    """The part of a profile that a run keeps for its whole life."""

    defaults: Defaults = Defaults()
    limits: Limits = Limits()
    cache: Cache | None = None
    trust: Trust | None = None
    proxy: Proxy | None = None
    hub: Hub | None = None
    price: Price | None = None
    notify: NotifyRules = NotifyRules()


class FineTuneProfileSpec(ProfileSettings):
    """What jobs of this profile may do, and what they have without saying so. What is left out of defaults and allow is that of the safe profile; limits that are left out are none."""

    namespaces: LabelSelector = LabelSelector()
    """Namespaces whose jobs may have this profile, by their labels; all of them if left out. Each has the label kubernetes.io/metadata.name, which is its name."""
    allow: Allow = Allow()


class FineTuneProfile(ApiModel):
    """What a platform team allows the FineTuneJobs of some namespaces, and what they have without saying so."""

    spec: FineTuneProfileSpec = FineTuneProfileSpec()


SAFE_LIMITS: Final = Limits(
    gpus=8,
    nodes=4,
    cpu="128",
    memory="512Gi",
    output_size="1Ti",
    active_deadline_seconds=604_800,
    backoff_limit=5,
)
"""What a job may ask for by the safe profile, unless whoever installs the operator says otherwise."""


def safe_profile(limits: Limits = SAFE_LIMITS) -> FineTuneProfileSpec:
    """Return the safe profile, which holds where there is none called `default`."""
    # A job that names no size would be given the most that it may have.
    return FineTuneProfileSpec(defaults=Defaults(output_size="10Gi"), limits=limits)


_ANY: Final = ["*"]
OPEN: Final = FineTuneProfileSpec(
    defaults=Defaults(
        resources=DefaultResources(cpu="0", memory="0"),
        scratch="0",
        tmp="0",
        shared_memory="0",
        active_deadline_seconds=0,
    ),
    allow=Allow(
        **{name: _ANY for name, field in Allow.model_fields.items() if isinstance(field.default, list)},
        security_context=True,
    ),
    notify=NotifyRules(private_hosts=_ANY),
)
"""A profile that allows all that the schema does, and gives nothing by default."""

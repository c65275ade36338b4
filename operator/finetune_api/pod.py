"""What a pod needs on a given cluster. All of it goes to the training pod unchanged."""

import re
from typing import Annotated, Final, TypeAlias

from pydantic import Field

from finetune_api.base import ApiModel
from finetune_api.labels import LABEL_KEY, LABEL_VALUE, Annotations, Labels, ObjectName
from finetune_api.rules import Rule
from finetune_api.scheduling import Affinity, Toleration, TopologySpreadConstraint
from finetune_api.text import Pattern
from finetune_api.volumes import Volume, VolumeMount


class LocalReference(ApiModel):
    """A Secret in the job's namespace."""

    name: ObjectName
    """Its name."""


class KeyReference(ApiModel):
    """A key of a Secret or ConfigMap in the job's namespace."""

    name: ObjectName
    """Its name."""
    key: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
    """The key in it."""
    optional: bool | None = None
    """Whether the pod starts without it."""


_ONE_SOURCE: Rule["EnvVarSource"] = Rule(
    cel="has(self.secretKeyRef) != has(self.configMapKeyRef)",
    holds=lambda self: (self.secret_key_ref is None) != (self.config_map_key_ref is None),
    message="needs exactly one of secretKeyRef and configMapKeyRef",
)


class EnvVarSource(ApiModel):
    """Where the value of an environment variable comes from: exactly one of these."""

    rules = (_ONE_SOURCE,)

    secret_key_ref: KeyReference | None = None
    """A key of a Secret."""
    config_map_key_ref: KeyReference | None = None
    """A key of a ConfigMap."""


_ONE_VALUE: Rule["EnvVar"] = Rule(
    cel="!(has(self.value) && has(self.valueFrom))",
    holds=lambda self: self.value is None or self.value_from is None,
    message="takes value or valueFrom, not both",
)
_RESERVED_NAME: Rule["EnvVar"] = Rule(
    cel="!self.name.startsWith('KUBEFLOW_TRAINER_') && !self.name.startsWith('FINETUNE_')",
    holds=lambda self: not self.name.startswith(("KUBEFLOW_TRAINER_", "FINETUNE_")),
    message="variables that begin with FINETUNE_ or KUBEFLOW_TRAINER_ are set by the operator",
)
_UNSAFE_NAMES: Final = (
    # What interpreters, the loader, compilers and shells run or read before or beside the program.
    r"^(_?PYTHON|LD_|DYLD_|GIT_|BASH_|OPENSSL_|GCONV_|GLIBC_|MALLOC_|TORCHELASTIC_|TORCHINDUCTOR_|TRITON_|CLOUDSDK_|GRPC_|SSL|XDG_)"
    r"|^(PATH|HOME|ENV|IFS|SHELL|SHELLOPTS|PS4|TMPDIR|NODE_OPTIONS|LOCPATH|NLSPATH|CC|CXX|USE_KERNELS|USE_HUB_KERNELS)$"
    r"|^(CUDACXX|PYTORCH_NVCC|NVCC_.*|GCC_EXEC_PREFIX|COMPILER_PATH|CPATH|.*_INCLUDE_PATH|(CUDA|CUDNN|ROCM|HIP)_(HOME|PATH))$"
    r"|^(HF_MODULES_CACHE|TORCH_EXTENSIONS_DIR|TORCH_HOME|TORCH_DEVICE_BACKEND_AUTOLOAD|KERAS_HOME|MASTER_ADDR|MASTER_PORT)$"
    # The same by another name: what Python's path is for processes that a library starts, compilers' flags, the temporary folder, a module's name.
    r"|PYTHONPATH|^TORCH_(PYTHON_NATIVE|COMPILE_OVERRIDE|INDUCTOR)_|^(C|CPP|CXX|LD|AR)FLAGS$"
    r"|^(CPP|AR|RANLIB|LDSHARED|LDCXXSHARED|TEMP|TMP|CONDA_EXE|CONDA_PREFIX|ONEAPI_ROOT|LOKY_PICKLER|MPLBACKEND|MPLCONFIGDIR|MATPLOTLIBRC)$"
    # Libraries that name files or modules to load in a variable of their own, or compiled code that they find in a cache.
    r"|PLUGIN|INJECTION|LIBRAR|PRELOAD|CLASSPATH|_LIBS?(_DIR)?$|^INTEL_(LIB|JIT_PROFILER)|^(PET|FSSPEC|KINETO|OMPI|PMIX|RDMAV|IBV)_"
    r"|LOCAL_KERNELS|KERNELS?_CACHE|^(CUDA_CACHE_PATH|QUACK_CACHE_DIR|NUMBA_CACHE_DIR)$"
    # What lifts their guards against code in data.
    r"|TRUST_REMOTE_CODE|NO_WEIGHTS_ONLY|ALLOW_EXECUTABLES|ALLOW_UNSAFE"
    # Where connections go, and whom they trust.
    r"|_PROXY$|_ENDPOINT|_CA_BUNDLE|_CA_CERTS?$|_EMULATOR_HOST$|_CONF(IG)?_FILE$|_CONFIG_DIR$|_CREDENTIALS?_FILE$"
    r"|_AUTHORITY_HOST$|_BASE_URL$|_DOWNLOAD_URL$|_TRACKING_URI$|_CO_STAGING$|_UNIVERSE_DOMAIN$|_COMM_ID$|^(GCE_METADATA|AWS_CONTAINER)_"
    r"|_INSECURE_TLS$|_CERT_PATH$|_CERTIFICATE$|_REGISTRY_URI$"
    r"|^(NETRC|BOTO_CONFIG|AWS_DATA_PATH|HOSTALIASES|LOCALDOMAIN|RES_OPTIONS|RESOLV_HOST_CONF)$"
)
_UNSAFE_NAME: Rule["EnvVar"] = Rule(
    cel=f"!self.name.upperAscii().matches('{_UNSAFE_NAMES}')",
    holds=lambda self: re.search(_UNSAFE_NAMES, self.name.upper()) is None,
    message="variables that load code or say where connections go or whom they trust are not taken: endpoints of buckets are keys "
    "of their Secret, and the Hub's address, a proxy and certificates are fields of the FineTuneProfile",
)
# Container runtimes read them, and show a pod devices that it never asked for and that others have.
_DEVICES: Final = (
    r"^(NVIDIA_(VISIBLE_DEVICES|MIG_|IMEX_|GDS|MOFED|GDRCOPY|NVSWITCH)|(AMD|ASCEND|HABANA)_VISIBLE_DEVICES$)"
)
_DEVICE_NAME: Rule["EnvVar"] = Rule(
    cel=f"!self.name.upperAscii().matches('{_DEVICES}')",
    holds=lambda self: re.search(_DEVICES, self.name.upper()) is None,
    message="variables by which a container runtime shows a pod devices are not taken: resources.gpus asks for them",
)


class EnvVar(ApiModel):
    """An environment variable of the trainer, such as HF_TOKEN from a Secret."""

    rules = (_ONE_VALUE, _RESERVED_NAME, _UNSAFE_NAME, _DEVICE_NAME)

    name: Annotated[str, Field(max_length=128, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    """Name of the variable."""
    value: Annotated[str, Field(max_length=4096)] | None = None
    """Its value. Secrets do not belong here: use valueFrom."""
    value_from: EnvVarSource | None = None
    """Where its value comes from."""


def _labels_are_valid(pod: "PodSettings") -> bool:
    keys = [*pod.labels, *pod.node_selector, *pod.annotations]
    values = [*pod.labels.values(), *pod.node_selector.values()]
    return all(re.fullmatch(LABEL_KEY, key) for key in keys) and all(re.fullmatch(LABEL_VALUE, v) for v in values)


_LABELS: Rule["PodSettings"] = Rule(
    cel=" && ".join(
        f"(!has(self.{field}) || self.{field}.all(key, key.matches('{LABEL_KEY}'){value}))"
        for field, value in (
            ("labels", f" && self.labels[key].matches('{LABEL_VALUE}')"),
            ("nodeSelector", f" && self.nodeSelector[key].matches('{LABEL_VALUE}')"),
            ("annotations", ""),
        )
    ),
    holds=_labels_are_valid,
    message="pod.labels, pod.annotations and pod.nodeSelector take keys such as example.com/name; label values are at most 63 "
    "letters, digits, '-', '_' and '.'",
)
_RESERVED_LABELS: Rule["PodSettings"] = Rule(
    cel="!has(self.labels) || self.labels.all(key, !key.startsWith('finetune.dev/') && !key.startsWith('batch.kubernetes.io/'))",
    holds=lambda self: not any(key.startswith(("finetune.dev/", "batch.kubernetes.io/")) for key in self.labels),
    message="pod.labels: those under finetune.dev/ and batch.kubernetes.io/ are set by the operator and by Kubernetes",
)


_CLAIM_OR_RESOURCE: Rule["Accelerator"] = Rule(
    cel="!(has(self.resource) && has(self.resourceClaimTemplateName))",
    holds=lambda self: self.resource is None or self.resource_claim_template_name is None,
    message="takes resource or resourceClaimTemplateName, not both",
)


class Accelerator(ApiModel):
    """What a GPU is on this cluster."""

    rules = (_CLAIM_OR_RESOURCE,)

    resource: Annotated[str, Field(max_length=253), Pattern(r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$")] | None = None  # fmt: skip
    """The resource that resources.gpus counts, such as amd.com/gpu or nvidia.com/mig-1g.5gb. nvidia.com/gpu if left out."""
    resource_claim_template_name: ObjectName | None = None
    """A ResourceClaimTemplate in the job's namespace, from which each pod gets its GPUs; resources.gpus says how many these are."""


Id: TypeAlias = Annotated[int, Field(ge=1, le=2_147_483_647)]


class PodSecurityContext(ApiModel):
    """Who the trainer runs as. It is never root."""

    run_as_user: Id | None = None
    """User id; the platform's choice if left out."""
    run_as_group: Id | None = None
    """Group id; the platform's choice if left out."""
    fs_group: Id | None = None
    """Group that owns volumes; the platform's choice if left out."""
    supplemental_groups: Annotated[list[Id], Field(max_length=16)] = []
    """More groups, such as that of a shared file system."""


def _mounts_are_of_volumes(pod: "PodSettings") -> bool:
    names = [volume.name for volume in pod.volumes]
    paths = [mount.mount_path for mount in pod.volume_mounts]
    return (
        len(set(names)) == len(names)
        and len(set(paths)) == len(paths)
        and all(mount.name in names for mount in pod.volume_mounts)
    )


_VOLUMES: Rule["PodSettings"] = Rule(
    cel="(!has(self.volumes) || self.volumes.all(one, self.volumes.exists_one(other, other.name == one.name)))"
    " && (!has(self.volumeMounts) || self.volumeMounts.all(one, self.volumeMounts.exists_one(other, other.mountPath == one.mountPath)"
    " && has(self.volumes) && self.volumes.exists(volume, volume.name == one.name)))",
    holds=_mounts_are_of_volumes,
    message="pod.volumes have different names, and pod.volumeMounts different paths; each mount names one of pod.volumes",
)


MAX_ENV_BYTES: Final = 16 * 1024
MAX_ANNOTATION_BYTES: Final = 8 * 1024


def _bytes(*texts: str | None) -> int:
    return sum(len(text.encode(errors="surrogatepass")) for text in texts if text is not None)


def _env_bytes(pod: "PodSettings") -> int:
    sources = (each.value_from or EnvVarSource.model_construct() for each in pod.env)
    keys = [key for source in sources for key in (source.secret_key_ref, source.config_map_key_ref) if key is not None]
    texts = [*(each.name for each in pod.env), *(each.value for each in pod.env)]
    return _bytes(*texts, *(key.name for key in keys), *(key.key for key in keys))


def _size_of_key(source: str) -> str:
    """CEL for the bytes of a reference to a key, 0 where there is none."""
    return f"(has(e.valueFrom) && has(e.valueFrom.{source}) ? size(bytes(e.valueFrom.{source}.name)) + size(bytes(e.valueFrom.{source}.key)) : 0)"


_SMALL_ENV: Rule["PodSettings"] = Rule(
    cel="!has(self.env) || self.env.map(e, size(bytes(e.name)) + (has(e.value) ? size(bytes(e.value)) : 0) + "
    f"{_size_of_key('secretKeyRef')} + {_size_of_key('configMapKeyRef')}).sum() <= {MAX_ENV_BYTES}",
    holds=lambda self: _env_bytes(self) <= MAX_ENV_BYTES,
    message=f"pod.env: names, values and references take at most {MAX_ENV_BYTES} bytes in all; a large value belongs into a Secret or ConfigMap",
)
_SMALL_ANNOTATIONS: Rule["PodSettings"] = Rule(
    cel="!has(self.annotations) || self.annotations.map(key, size(bytes(key)) + size(bytes(self.annotations[key]))).sum() "
    f"<= {MAX_ANNOTATION_BYTES}",
    holds=lambda self: _bytes(*self.annotations, *self.annotations.values()) <= MAX_ANNOTATION_BYTES,
    message=f"pod.annotations: keys and values take at most {MAX_ANNOTATION_BYTES} bytes in all",
)


class PodSettings(ApiModel):
    """What the training pod needs on this cluster; all of it optional."""

    rules = (_RESERVED_LABELS, _LABELS, _VOLUMES, _SMALL_ENV, _SMALL_ANNOTATIONS)

    image: Annotated[str, Field(min_length=1, max_length=512), Pattern(r"^\S+$")] | None = None
    """Image of the trainer. The operator's default if left out."""
    service_account_name: ObjectName | None = None
    """ServiceAccount of the pod. It needs no rights on the Kubernetes API."""
    image_pull_secrets: Annotated[list[LocalReference], Field(max_length=8)] = []
    """Secrets to pull the image with."""
    node_selector: Labels = {}
    """Labels that a node must have, such as nvidia.com/gpu.product."""
    tolerations: Annotated[list[Toleration], Field(max_length=16)] = []
    """Taints that the pod tolerates."""
    priority_class_name: ObjectName | None = None
    """PriorityClass of the pod."""
    affinity: Affinity | None = None
    """Nodes and pods that the pods must or should be near to or far from."""
    topology_spread_constraints: Annotated[list[TopologySpreadConstraint], Field(max_length=4)] = []
    """How evenly the pods are spread over zones or nodes."""
    runtime_class_name: ObjectName | None = None
    """RuntimeClass of the pod, such as nvidia."""
    scheduler_name: ObjectName | None = None
    """Scheduler of the pod. Kubernetes' own if left out."""
    security_context: PodSecurityContext | None = None
    """Who the trainer runs as: user and group 65532 if left out. With {} the platform chooses, as OpenShift's restricted-v2 wants it."""
    accelerator: Accelerator | None = None
    """What a GPU is on this cluster: nvidia.com/gpu if left out."""
    volumes: Annotated[list[Volume], Field(max_length=8)] = []
    """Volumes besides those that the operator makes."""
    volume_mounts: Annotated[list[VolumeMount], Field(max_length=8)] = []
    """Where the trainer sees pod.volumes."""
    env: Annotated[list[EnvVar], Field(max_length=64)] = []
    """Environment variables of the trainer."""
    labels: Labels = {}
    """Labels of Job and pod besides our own, such as kueue.x-k8s.io/queue-name and kueue.x-k8s.io/priority-class. Those under app.kubernetes.io/ take the place of ours."""
    annotations: Annotations = {}
    """Annotations of the pod, such as kueue.x-k8s.io/podset-required-topology. Those of Kueue are on the Job too."""

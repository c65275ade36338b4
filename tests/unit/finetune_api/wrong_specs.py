"""Specs that break one rule each, beside a neighbour that does not: for the API server and for pydantic alike."""

from dataclasses import dataclass
from typing import Any, Final

Change = dict[str, Any]
"""Sections of the spec, each merged into that of BASE; None leaves a field out."""

BASE: Final[dict[str, Any]] = {
    "task": "text-classification",
    "model": {"source": "google-bert/bert-base-cased"},
    "dataset": {"source": "Yelp/yelp_review_full", "train": {"split": "train"}, "evaluation": {"split": "test"}},
}


@dataclass(frozen=True)
class WrongSpec:
    """What is wrong with a spec, and the nearest one that is right."""

    change: Change
    message: str
    """How the message of the rule begins."""
    neighbour: Change

    @property
    def spec(self) -> dict[str, Any]:
        """The wrong spec."""
        return changed(self.change)

    @property
    def right(self) -> dict[str, Any]:
        """The right one."""
        return changed(self.neighbour)


def changed(change: Change) -> dict[str, Any]:
    """BASE with a change."""
    spec = {**BASE}
    for section, value in change.items():
        spec[section] = _merged(spec.get(section), value)
    return spec


def _merged(old: Any, new: Any) -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        both = {**old, **new}
        return {name: value for name, value in both.items() if value is not None}
    return new


def _webhook(**fields: Any) -> Change:
    return {"notify": [{"name": "a", "webhook": fields}]}


_SOURCE = "must be a Hugging Face Hub id (org/name)"
_OUTPUT = "must be pvc://claim/path, s3://"
_WANDB_NAME = "must be the name of a project, user or team of W&B"
_NAME = "must be the name of a Kubernetes object"
_QUANTITY = "must be a Kubernetes quantity"
_STEPS = "steps is required with strategy 'steps', and only then"
_LABELS = "pod.labels, pod.annotations and pod.nodeSelector take keys"
_RESERVED_LABELS = "pod.labels: those under finetune.dev/"
_RESERVED_NAME = "variables that begin with FINETUNE_ or KUBEFLOW_TRAINER_"
_UNSAFE_NAME = "variables that load code or say where connections go"
_DEVICE_NAME = "variables by which a container runtime shows a pod devices"
_VOLUME_SOURCE = "needs exactly one of configMap, secret"
_VOLUMES = "pod.volumes have different names"
_MOUNT_PATH = "must be a path below /mnt/ or /data/"
_IN_VOLUME = "must be a path in the volume, without '..'"
_SELECTED = "operators In and NotIn need values; Exists and DoesNotExist have none"
_SELECTED_NODES = "operators In and NotIn need values, Gt and Lt exactly one"
_ACCELERATOR = "takes resource or resourceClaimTemplateName, not both"
_STORAGE_CLASS = "must be the name of a StorageClass"
_VOLUME = "size, storageClassName and retentionPolicy are for the volume"
_BEST_CHECKPOINT = "needs dataset.evaluation, and an evaluation at each checkpoint"
_KERAS = "engine 'keras' trains text-classification, without lora"
_KERAS_DEVICE = "engine 'keras' trains on one device"
_CONTROLLER = "must be the name of a controller"
_TRACKER = "must be https://host or http://host"
_TOKEN = "must be a text of letters, digits"
_PROCESSES = "processesPerNode is for training on the CPU"

_NO_EVALUATION: Change = {"dataset": {"evaluation": None}}
_BUCKET = "s3://bucket/run"
_LONG_KEY = {"secretKeyRef": {"name": "n" * 253, "key": "k" * 253}}
_SECRET_KEY = {"secretKeyRef": {"name": "s", "key": "k"}}


def _env(**variable: Any) -> Change:
    return {"pod": {"env": [variable]}}


def _node(**expression: Any) -> Change:
    term = {"matchExpressions": [expression]}
    return {
        "pod": {
            "affinity": {
                "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
            }
        }
    }


def _pods(**expression: Any) -> Change:
    selector = {"matchExpressions": [expression]}
    spread = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": selector}
    return {"pod": {"topologySpreadConstraints": [spread]}}


def _volume(**volume: Any) -> Change:
    return {"pod": {"volumes": [{"name": "v", **volume}]}}


def _secret_at(path: str) -> Change:
    mounts = [{"name": "keys", "mountPath": path}, {"name": "rows", "mountPath": "/data/rows"}]
    volumes: list[Change] = [{"name": "keys", "secret": {"secretName": "s"}}, {"name": "rows", "emptyDir": {}}]
    return {"pod": {"volumes": volumes, "volumeMounts": mounts}}


def _mount(*mounts: Change, volumes: tuple[str, ...] = ("v",)) -> Change:
    return {"pod": {"volumes": [{"name": name, "emptyDir": {}} for name in volumes], "volumeMounts": [*mounts]}}


def _path(path: str, **more: str) -> Change:
    return {"name": "v", "mountPath": path, **more}


def _env_of(value: Any, count: int) -> Change:
    """So many variables with this value, or with this source of their value."""
    field = "value" if isinstance(value, str) else "valueFrom"
    return {"pod": {"env": [{"name": f"V{number}", field: value} for number in range(count)]}}


def _steps(evaluation: int | None, checkpoints: int | None) -> Change:
    of = lambda steps: {"strategy": "steps", "steps": steps} if steps else {"strategy": "epoch"}  # noqa: E731
    return {"evaluation": {"bestMetric": "loss", **of(evaluation)}, "checkpoints": of(checkpoints)}


WRONG: Final = (
    WrongSpec({"model": {"source": ""}}, _SOURCE, {"model": {"source": "a"}}),
    WrongSpec({"model": {"source": "pvc://claim/../x"}}, _SOURCE, {"model": {"source": "pvc://claim/..x"}}),
    *(
        WrongSpec({"model": {"source": f"{scheme}://claim/{path}"}}, _SOURCE, {"model": {"source": f"{scheme}://claim/a%20b"}})
        for scheme in ("pvc", "s3")
        for path in (
            "%2e%2e/x", ".%2E/x", "%2E./x", "a/%2e%2e", "%252e%252e/x", "%25252e./x", "a%2f..%2fx", "..%5cx", "/etc/passwd", "a//x",
            "a//", "%2fetc/passwd", "a%2Fb", "a%5Cb", "a%00b", "a%0ab", "a%7fb", "a%252fb", "a\\b",
        )
    ),
    WrongSpec({"model": {"source": "file:///a/%2e%2e/x"}}, _SOURCE, {"model": {"source": "file:///a//x/"}}),
    WrongSpec({"dataset": {"source": "https://h/a/%2e%2e/x"}}, _SOURCE, {"dataset": {"source": "https://h/a/..x//b%2Fc?d=%2F"}}),
    WrongSpec({"dataset": {"source": "https://h/a/%2e%2e?x=1"}}, _SOURCE, {"dataset": {"source": "https://h/a/x?x=..a"}}),
    WrongSpec({"output": {"uri": "pvc://claim/%2e%2e/x"}}, _OUTPUT, {"output": {"uri": "pvc://claim/%2ex"}}),
    WrongSpec({"output": {"uri": "gs://b//x"}}, _OUTPUT, {"output": {"uri": "gs://b/x/"}}),
    WrongSpec({"model": {"source": "a/b/c"}}, _SOURCE, {"model": {"source": "a/b"}}),
    WrongSpec({"model": {"source": "a/b\n"}}, _SOURCE, {"model": {"source": "file:///a\x0b"}}),
    WrongSpec({"dataset": {"source": "s3://key:secret@b/x"}}, _SOURCE, {"dataset": {"source": "s3://b/x"}}),
    WrongSpec({"dataset": {"source": "http://host/x"}}, _SOURCE, {"dataset": {"source": "https://host/x"}}),
    WrongSpec({"output": {"uri": ""}}, _OUTPUT, {"output": {"uri": "gs://b"}}),
    WrongSpec({"output": {"uri": "file:///out"}}, _OUTPUT, {"output": {"uri": "pvc://claim"}}),
    WrongSpec({"output": {"uri": "hf://datasets/name"}}, _OUTPUT, {"output": {"uri": "hf://dataset/name"}}),
    WrongSpec({"output": {"uri": "az://b/../x"}}, _OUTPUT, {"output": {"uri": "az://b/..x/"}}),
    WrongSpec({"model": {"secretRef": {"name": "S"}}}, _NAME, {"model": {"secretRef": {"name": "s"}}}),
    WrongSpec({"output": {"secretRef": {"name": "s-"}}}, _NAME, {"output": {"secretRef": {"name": "s-1"}}}),
    WrongSpec({"pod": {"serviceAccountName": ""}}, _NAME, {"pod": {"serviceAccountName": "a.b"}}),
    WrongSpec({"pod": {"imagePullSecrets": [{"name": "a_b"}]}}, _NAME, {"pod": {"imagePullSecrets": [{"name": "a"}]}}),
    *(
        WrongSpec({"tracking": {"mlflow": {"uri": uri}}}, _TRACKER, {"tracking": {"mlflow": {"uri": "http://m.ml:5000/a"}}})
        for uri in ("", "mlflow:5000", "https://", "https://u:p@host", "https://host/a?b", "https://host#a", "file:///x")
    ),
    WrongSpec({"tracking": {}}, "needs a tracker", {"tracking": {"tensorboard": {}}}),
    WrongSpec({"tracking": {}}, "needs a tracker", {"tracking": {"wandb": {}}}),
    WrongSpec({"tracking": {}}, "needs a tracker", {"tracking": {"trackio": {}}}),
    WrongSpec(
        {"tracking": {"trackio": {"uri": "trackio:7860"}}}, _TRACKER, {"tracking": {"trackio": {"uri": "http://t:7860"}}}
    ),
    WrongSpec(
        {"tracking": {"trackio": {}, "secretRef": {"name": "s"}}},
        "secretRef is for mlflow",
        {"tracking": {"trackio": {"uri": "https://t"}, "secretRef": {"name": "s"}}},
    ),
    *(
        WrongSpec({"tracking": {"wandb": {field: name}}}, _WANDB_NAME, {"tracking": {"wandb": {field: "a-b_c.1 d"}}})
        for field in ("project", "entity")
        for name in ("", "a/b", " a", "a:b")
    ),
    WrongSpec(
        {"tracking": {"wandb": {}, "secretRef": {"name": "s"}}},
        "secretRef is for mlflow",
        {"tracking": {"wandb": {}, "mlflow": {"uri": "https://m"}, "secretRef": {"name": "s"}}},
    ),
    WrongSpec(
        {"tracking": {"tensorboard": {}, "secretRef": {"name": "s"}}},
        "secretRef is for mlflow",
        {"tracking": {"tensorboard": {}, "mlflow": {"uri": "https://m"}, "secretRef": {"name": "s"}}},
    ),
    WrongSpec({"resources": {"cpu": "lots"}}, _QUANTITY, {"resources": {"cpu": "500m"}}),
    WrongSpec({"resources": {"memory": -1}}, _QUANTITY, {"resources": {"memory": 0}}),
    WrongSpec({"output": {"size": "10 Gi"}}, _QUANTITY, {"output": {"size": "10Gi"}}),
    WrongSpec(
        {"preprocessing": {"padding": "max_length"}},
        "padding 'max_length' needs preprocessing.maxLength",
        {"preprocessing": {"padding": "max_length", "maxLength": 1}},
    ),
    WrongSpec({"evaluation": {"strategy": "steps"}}, _STEPS, {"evaluation": {"strategy": "steps", "steps": 1}}),
    WrongSpec({"evaluation": {"steps": 1}}, _STEPS, {"evaluation": {"strategy": "epoch"}}),
    WrongSpec({"checkpoints": {"strategy": "steps"}}, _STEPS, {"checkpoints": {"strategy": "steps", "steps": 1}}),
    WrongSpec({"checkpoints": {"strategy": "epoch", "steps": 1}}, _STEPS, {"checkpoints": {"strategy": "epoch"}}),
    WrongSpec(
        {"evaluation": {"metrics": ["recall"], "bestMetric": "f1"}},
        "bestMetric must be 'loss' or one of metrics",
        {"evaluation": {"metrics": ["recall"], "bestMetric": "loss"}},
    ),
    WrongSpec(
        {"evaluation": {"metrics": [], "bestMetric": "f1"}},
        "bestMetric must be 'loss' or one of metrics",
        {"evaluation": {"bestMetric": "f1"}},
    ),
    WrongSpec(
        {"evaluation": {"patience": 1}},
        "patience needs bestMetric",
        {"evaluation": {"patience": 1, "bestMetric": "loss"}},
    ),
    WrongSpec(_env(name="A", valueFrom={}), "needs exactly one of secretKeyRef", _env(name="A", valueFrom=_SECRET_KEY)),
    WrongSpec(
        _env(name="A", valueFrom={**_SECRET_KEY, "configMapKeyRef": {"name": "c", "key": "k"}}),
        "needs exactly one of secretKeyRef",
        _env(name="A", valueFrom={"configMapKeyRef": {"name": "c", "key": "k"}}),
    ),
    WrongSpec(
        _env(name="A", value="", valueFrom=_SECRET_KEY), "takes value or valueFrom, not both", _env(name="A", value="")
    ),
    WrongSpec(_env(name="FINETUNE_A"), _RESERVED_NAME, _env(name="FINETUNE")),
    WrongSpec(_env(name="KUBEFLOW_TRAINER_A"), _RESERVED_NAME, _env(name="KUBEFLOW_A")),
    WrongSpec(_env(name="NVIDIA_VISIBLE_DEVICES", value="all"), _DEVICE_NAME, _env(name="CUDA_VISIBLE_DEVICES", value="0")),
    WrongSpec(_env(name="amd_visible_devices", value="all"), _DEVICE_NAME, _env(name="AMD_VISIBLE_DEVICE", value="0")),
    WrongSpec(_env(name="NVIDIA_MIG_CONFIG_DEVICES", value="all"), _DEVICE_NAME, _env(name="NVIDIA_TF32_OVERRIDE", value="0")),
    *(
        WrongSpec(_env(name=name, value="x"), _UNSAFE_NAME, _env(name=right, value="x"))
        for name, right in (
            ("PYTHONPATH", "MYPYTHON"),
            ("PythonStartup", "MY_PYTHON"),
            ("LD_PRELOAD", "WORLD_LOADER"),
            ("PATH", "WANDB_PATH"),
            ("HOME", "HF_HOME"),
            ("https_proxy", "HTTPS_PROXY_NAME"),
            ("NO_PROXY", "NOPROXY"),
            ("SSL_CERT_FILE", "NCCL_SSL"),
            ("REQUESTS_CA_BUNDLE", "REQUESTS_CA"),
            ("HF_ENDPOINT", "HF_ENDPOIN"),
            ("AWS_ENDPOINT_URL_S3", "AWS_REGION"),
            ("STORAGE_EMULATOR_HOST", "STORAGE_HOST"),
            ("AWS_CONFIG_FILE", "AWS_CONFIG"),
            ("NETRC", "NETRC_1"),
            ("_PYTHON_SYSCONFIGDATA_NAME", "MY_PYTHON_NAME"),
            ("NCCL_NET_PLUGIN", "NCCL_NET"),
            ("BOTOCORE_EXPERIMENTAL__PLUGINS", "BOTOCORE_EXPERIMENTAL"),
            ("CUDA_INJECTION64_PATH", "CUDA_VISIBLE_DEVICES"),
            ("OMP_TOOL_LIBRARIES", "OMP_NUM_THREADS"),
            ("HSA_TOOLS_LIB", "HSA_ENABLE_SDMA"),
            ("INTEL_LIBITTNOTIFY64", "INTEL_ISA_DISABLE"),
            ("GCC_EXEC_PREFIX", "GCC_COLORS"),
            ("LOCAL_KERNELS", "LOCAL_RANKS"),
            ("PYTORCH_KERNEL_CACHE_PATH", "HF_HUB_CACHE"),
            ("PET_RUN_PATH", "PETS"),
            ("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_WEIGHTS_ONLY_LOAD"),
            ("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "GOOGLE_CLOUD_PROJECT"),
            ("FSSPEC_S3", "MY_FSSPEC"),
            ("SSLKEYLOGFILE", "MY_SSL"),
            ("NCCL_CONF_FILE", "NCCL_CONF"),
            ("NCCL_COMM_ID", "NCCL_COMM"),
            ("AWS_DATA_PATH", "AWS_DATA"),
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_DEFAULT_REGION"),
            ("AZURE_AUTHORITY_HOST", "AZURE_STORAGE_ACCOUNT"),
            ("GCE_METADATA_HOST", "GCE_METADATA"),
            ("GOOGLE_CLOUD_UNIVERSE_DOMAIN", "GOOGLE_CLOUD_UNIVERSE"),
            ("HUGGINGFACE_CO_STAGING", "HUGGINGFACE_CO"),
            ("WANDB_BASE_URL", "WANDB_PROJECT"),
            ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_NAME"),
            ("GIT_SSH_COMMAND", "NOGIT_SSH"),
            ("TORCH_CUSTOM_PYTHONPATH", "TORCH_CUSTOM_PYTHON"),
            ("TORCH_PYTHON_NATIVE_USER_GRAPH_ORDER_FN", "TORCH_NATIVE_SKIP_VERSION_CHECK"),
            ("TORCH_COMPILE_OVERRIDE_INDUCTOR_CONFIGS", "TORCH_COMPILE_DEBUG"),
            ("TORCH_INDUCTOR_INSTALL_GXX", "TORCH_DISTRIBUTED_DEBUG"),
            ("CXXFLAGS", "MYCXXFLAGS"),
            ("TEMP", "TEMPERATURE"),
            ("CONDA_PREFIX", "CONDA_PREFIX_1"),
            ("LOKY_PICKLER", "LOKY_MAX_DEPTH"),
            ("MPLBACKEND", "MPLBACKENDS"),
            ("MLFLOW_TRACKING_INSECURE_TLS", "MLFLOW_TRACKING_TOKEN"),
            ("MLFLOW_TRACKING_SERVER_CERT_PATH", "CERT_PATHS"),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "OTEL_SERVICE_NAME"),
        )
    ),
    WrongSpec(_node(key="a", operator="In"), _SELECTED_NODES, _node(key="a", operator="In", values=["b"])),
    WrongSpec(_node(key="a", operator="Exists", values=["b"]), _SELECTED_NODES, _node(key="a", operator="Exists")),
    WrongSpec(
        _node(key="a", operator="Gt", values=["1", "2"]), _SELECTED_NODES, _node(key="a", operator="Gt", values=["1"])
    ),
    WrongSpec(_pods(key="a", operator="NotIn"), _SELECTED, _pods(key="a", operator="NotIn", values=["b"])),
    WrongSpec(
        _pods(key="a", operator="DoesNotExist", values=["b"]), _SELECTED, _pods(key="a", operator="DoesNotExist")
    ),
    WrongSpec(_volume(), _VOLUME_SOURCE, _volume(emptyDir={})),
    WrongSpec(_volume(emptyDir={}, secret={"secretName": "s"}), _VOLUME_SOURCE, _volume(secret={"secretName": "s"})),
    WrongSpec(
        _volume(secret={"secretName": "s", "items": [{"key": "k", "path": "../k"}]}),
        _IN_VOLUME,
        _volume(secret={"secretName": "s", "items": [{"key": "k", "path": "..k"}]}),
    ),
    WrongSpec(_mount(_path("/mnt/a"), volumes=("v", "v")), _VOLUMES, _mount(_path("/mnt/a"), volumes=("v", "w"))),
    WrongSpec(_mount(_path("/mnt/a"), volumes=("w",)), _VOLUMES, _mount(volumes=("w",))),
    WrongSpec(_mount(_path("/mnt/a"), _path("/mnt/a")), _VOLUMES, _mount(_path("/mnt/a"), _path("/mnt/b"))),
    WrongSpec(_mount(_path("/usr/local/lib")), _MOUNT_PATH, _mount(_path("/data/usr/local/lib"))),
    WrongSpec(_mount(_path("/mnt/volumes/claim")), _MOUNT_PATH, _mount(_path("/mnt/volumes2/claim"))),
    WrongSpec(_mount(_path("/mnt/../usr")), _MOUNT_PATH, _mount(_path("/mnt/..usr"))),
    WrongSpec(_mount(_path("/mnt/a", subPath="a/..")), _IN_VOLUME, _mount(_path("/mnt/a", subPath="a/b"))),
    WrongSpec(
        {"pod": {"accelerator": {"resource": "amd.com/gpu", "resourceClaimTemplateName": "gpu"}}},
        _ACCELERATOR,
        {"pod": {"accelerator": {"resource": "amd.com/gpu"}}},
    ),
    WrongSpec(_env_of("é" * 2047, 5), "pod.env: names, values", _env_of("é" * 2047, 4)),
    WrongSpec(_env_of(_LONG_KEY, 33), "pod.env: names, values", _env_of(_LONG_KEY, 32)),
    WrongSpec(
        {"pod": {"annotations": {f"a{number}": "é" * 512 for number in range(8)}}},
        "pod.annotations: keys and values",
        {"pod": {"annotations": {f"a{number}": "é" * 512 for number in range(7)}}},
    ),
    WrongSpec({"pod": {"labels": {"finetune.dev/x": "a"}}}, _RESERVED_LABELS, {"pod": {"labels": {"finetune.dev": "a"}}}),
    WrongSpec({"pod": {"labels": {"batch.kubernetes.io/x": ""}}}, _RESERVED_LABELS, {"pod": {"labels": {"x": ""}}}),
    WrongSpec({"pod": {"labels": {"a b": "c"}}}, _LABELS, {"pod": {"labels": {"a.b/c": "c"}}}),
    WrongSpec({"pod": {"labels": {"a": "-"}}}, _LABELS, {"pod": {"labels": {"a": "b-c"}}}),
    WrongSpec({"pod": {"labels": {"": ""}}}, _LABELS, {"pod": {"labels": {}}}),
    WrongSpec({"pod": {"labels": {"a": "b\n"}}}, _LABELS, {"pod": {"labels": {"a": "b"}}}),
    WrongSpec({"pod": {"nodeSelector": {"a": "b c"}}}, _LABELS, {"pod": {"nodeSelector": {"a": "b_c"}}}),
    WrongSpec({"pod": {"nodeSelector": {"/a": "b"}}}, _LABELS, {"pod": {"nodeSelector": {"finetune.dev/a": "b"}}}),
    WrongSpec({"pod": {"annotations": {"a/b/c": "d"}}}, _LABELS, {"pod": {"annotations": {"b/c": "d e\n"}}}),
    WrongSpec({"output": {"uri": _BUCKET, "size": "1Gi"}}, _VOLUME, {"output": {"size": "1Gi"}}),
    WrongSpec({"output": {"uri": _BUCKET, "storageClassName": "a"}}, _VOLUME, {"output": {"uri": _BUCKET}}),
    # An empty name is set: to Kubernetes it means a volume of no class.
    WrongSpec({"output": {"uri": _BUCKET, "storageClassName": ""}}, _VOLUME, {"output": {"storageClassName": ""}}),
    *(
        WrongSpec({"managedBy": name}, _CONTROLLER, {"managedBy": "kueue.x-k8s.io/multikueue"})
        for name in ("", "multikueue", "Kueue.x-k8s.io/multikueue", "kueue.x-k8s.io/", "a/b c")
    ),
    *(
        WrongSpec({"runToken": token}, _TOKEN, {"runToken": "2026-11-28T20:15:00+01:00"})
        for token in ("", "-", "a b", "a\n", "2.")
    ),
    WrongSpec({"output": {"storageClassName": "$(HF_TOKEN)"}}, _STORAGE_CLASS, {"output": {"storageClassName": "fast.ssd-2"}}),
    WrongSpec({"output": {"uri": _BUCKET, "retentionPolicy": "Retain"}}, _VOLUME, {"output": {"retentionPolicy": "Delete"}}),
    WrongSpec({"resources": {"processesPerNode": 1}}, _PROCESSES, {"resources": {"processesPerNode": 1, "gpus": 0}}),
    WrongSpec({**_NO_EVALUATION, "evaluation": {"bestMetric": "loss"}}, _BEST_CHECKPOINT, _NO_EVALUATION),
    WrongSpec(_steps(None, 4), _BEST_CHECKPOINT, _steps(None, None)),
    WrongSpec(_steps(4, None), _BEST_CHECKPOINT, _steps(4, 4)),
    WrongSpec(_steps(4, 6), _BEST_CHECKPOINT, _steps(4, 8)),
    WrongSpec(
        {**_NO_EVALUATION, "evaluation": {"metrics": ["accuracy"]}},
        "metrics need dataset.evaluation, the rows to compute them on",
        {"evaluation": {"metrics": ["accuracy"]}},
    ),
    WrongSpec(
        {**_NO_EVALUATION, "evaluation": {"metrics": []}},
        "metrics need dataset.evaluation, the rows to compute them on",
        {"evaluation": {"metrics": []}},
    ),
    *(
        WrongSpec(
            {"task": task, "evaluation": {field: [wrong] if field == "metrics" else wrong}},
            f"metrics of {task} are ",
            {"task": task, "evaluation": {field: [right] if field == "metrics" else right}},
        )
        for task, wrong, right in (
            ("text-classification", "perplexity", "mae"),
            ("token-classification", "mae", "recall"),
            ("causal-lm", "f1", "perplexity"),
            ("seq2seq", "accuracy", "chrf"),
        )
        for field in ("metrics", "bestMetric")
    ),
    *(
        WrongSpec(
            {"model": {"problemType": problem}, "evaluation": {field: [wrong] if field == "metrics" else wrong}},
            f"metrics of {problem} are ",
            {"model": {"problemType": problem}, "evaluation": {field: [right] if field == "metrics" else right}},
        )
        for problem, wrong, right in (
            ("single_label_classification", "mse", "matthews_correlation"),
            ("multi_label_classification", "matthews_correlation", "f1"),
            ("regression", "accuracy", "pearsonr"),
        )
        for field in ("metrics", "bestMetric")
    ),
    WrongSpec({"task": "seq2seq", "training": {"engine": "keras"}}, _KERAS, {"training": {"engine": "keras"}}),
    WrongSpec({"training": {"engine": "keras", "lora": {}}}, _KERAS, {"training": {"engine": "pytorch", "lora": {}}}),
    *(
        WrongSpec(
            {"training": {"engine": "keras"}, "resources": many},
            _KERAS_DEVICE,
            {"training": {"engine": "keras"}, "resources": one},
        )
        for many, one in (
            ({"gpus": 2}, {"gpus": 1}),
            ({"nodes": 2}, {"nodes": 1}),
            ({"gpus": 0, "processesPerNode": 2}, {"gpus": 0, "processesPerNode": 1}),
        )
    ),
    WrongSpec(
        {"task": "causal-lm", "model": {"problemType": "regression"}},
        "problemType is for text-classification",
        {"model": {"problemType": "regression"}},
    ),
    WrongSpec(
        {"preprocessing": {"packing": False}},
        "packing is for causal-lm",
        {"task": "causal-lm", "preprocessing": {"packing": False}},
    ),
    WrongSpec(
        {"preprocessing": {"sourcePrefix": ""}},
        "sourcePrefix is for seq2seq",
        {"task": "seq2seq", "preprocessing": {"sourcePrefix": ""}},
    ),
    WrongSpec(
        {"dataset": {"format": "text"}},
        "format is for causal-lm",
        {"task": "causal-lm", "dataset": {"format": "text"}},
    ),
    WrongSpec({"notify": [{"name": "a"}]}, "needs exactly one of webhook and slack", {"notify": [{"name": "a", "slack": {}}]}),
    WrongSpec(_webhook(), "needs exactly one of url and urlSecretKey", _webhook(urlSecretKey="url")),
    WrongSpec(
        _webhook(url="https://a/b", urlSecretKey="url"), "needs exactly one of url and urlSecretKey", _webhook(url="https://a/b")
    ),
    WrongSpec(
        {"notify": [{"name": "a", "slack": {}}, {"name": "a", "slack": {}}]},
        "must have different names",
        {"notify": [{"name": "a", "slack": {}}, {"name": "b", "slack": {}}]},
    ),
    *(
        WrongSpec(_webhook(url=wrong), "must be https://host/path", _webhook(url=right))
        for wrong, right in (
            ("ftp://a/b", "http://a/b"),
            ("https://user:word@a/b", "https://a/user:word@b"),
            ("https://A/b", "https://a/B"),
            ("https://a?b", "https://a/?b"),
            ("https://a/b#c", "https://a/b%23c"),
            ("https://[::1]/b", "https://127.0.0.1:8443/b"),
            ("https://a.", "https://a.b"),
            ("https://a/b c", "https://a/b+c"),
            ("https://a/\u00fc", "https://a/%C3%BC"),
        )
    ),
    *(
        WrongSpec(
            {section: {"source": source}, **_secret_at("/data/keys")},
            "model.source and dataset.source cannot be in, or above, a Secret",
            {section: {"source": right}, **_secret_at("/data/keys")},
        )
        for section in ("model", "dataset")
        for source, right in (
            ("file:///data/keys/train.csv", "file:///data/keys.csv"),
            ("file:///data/keys", "file:///data/rows"),
            ("file:///data/keys/", "file:///data/keys2/"),
            ("file:///data", "file:///da"),
            ("file:///data/", "pvc://data/keys"),
        )
    ),
)  # fmt: skip

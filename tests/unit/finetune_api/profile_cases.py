"""Jobs under profiles, and what is said of each: one table for the operator's check and for the admission policy."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

BASE: Final[dict[str, Any]] = {
    "task": "text-classification",
    "model": {"source": "google-bert/bert-base-cased"},
    "dataset": {"source": "Yelp/yelp_review_full", "train": {"split": "train"}},
}
NAMESPACES: Final = {"profiles-a": {"team": "a"}, "profiles-b": {"team": "b", "env": "prod"}, "profiles-c": {}}
"""Labels of the namespaces."""
JOB: Final = "job"
"""Name of every job."""
SECRET: Final = {"valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}


@dataclass(frozen=True)
class Case:
    """A job of the namespace under a profile."""

    rule: str
    """The rule in question, by its list or limit and the field."""
    spec: dict[str, Any]
    """Of the job, over BASE."""
    message: str | None
    """What is said after `profile <name>: `; None if the job is taken."""
    profile: dict[str, Any] = field(default_factory=dict)
    """The spec of the profile; the safe one if empty."""
    namespace: str = "profiles-a"


def _pod(**fields: Any) -> dict[str, Any]:
    return {"pod": fields}


def _source(uri: str) -> dict[str, Any]:
    return {"model": {"source": uri}}


def _dataset(uri: str) -> dict[str, Any]:
    return {"dataset": {**BASE["dataset"], "source": uri}}


def _secret_of(section: str) -> dict[str, Any]:
    return {section: {**BASE.get(section, {}), "secretRef": {"name": "db"}}}


def _allow(**lists: list[str]) -> dict[str, Any]:
    return {"allow": lists}


def _webhook(url: str) -> dict[str, Any]:
    return {"notify": [{"name": "ci", "webhook": {"url": url}}]}


def _notify(**lists: list[str]) -> dict[str, Any]:
    return {"notify": lists}


def _limits(**limits: Any) -> dict[str, Any]:
    return {"limits": limits}


def _expressions(*expressions: dict[str, Any]) -> dict[str, Any]:
    return {"namespaces": {"matchExpressions": list(expressions)}}


def _volume(**source: Any) -> dict[str, Any]:
    return _pod(volumes=[{"name": "more", **source}])


def _node_affinity(affinity: dict[str, Any]) -> dict[str, Any]:
    return _pod(affinity={"nodeAffinity": affinity})


def _term(keys: Iterable[str]) -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": "Exists"} for key in keys]}


def _required(*terms: list[str]) -> dict[str, Any]:
    return {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [_term(keys) for keys in terms]}}


def _preferred(*keys: str) -> dict[str, Any]:
    terms = [{"weight": 1, "preference": _term([key])} for key in keys]
    return {"preferredDuringSchedulingIgnoredDuringExecution": terms}


_GPU_TAINT = {"key": "nvidia.com/gpu", "operator": "Exists"}
_ENV = "HF_TOKEN, HF_HUB_OFFLINE, "
_SAFE_SECRETS = "is not allowed; allow.secrets has finetune-*"

CASES: Final = [
    Case("none", {}, None),
    # What the safe profile refuses.
    Case("images", _pod(image="evil/x"), "spec.pod.image evil/x is not allowed; allow.images has nothing"),
    Case(
        "serviceAccounts",
        _pod(serviceAccountName="admin"),
        "spec.pod.serviceAccountName admin is not allowed; allow.serviceAccounts has default",
    ),
    Case("serviceAccounts", _pod(serviceAccountName="default"), None),
    Case(
        "priorityClasses",
        _pod(priorityClassName="system-node-critical"),
        "spec.pod.priorityClassName system-node-critical is not allowed; allow.priorityClasses has nothing",
    ),
    Case("secrets model", _secret_of("model"), f"spec.model.secretRef.name db {_SAFE_SECRETS}"),
    Case("secrets dataset", _secret_of("dataset"), f"spec.dataset.secretRef.name db {_SAFE_SECRETS}"),
    Case("secrets output", _secret_of("output"), f"spec.output.secretRef.name db {_SAFE_SECRETS}"),
    Case(
        "secrets tracking",
        {"tracking": {"mlflow": {"uri": "https://m"}, "secretRef": {"name": "db"}}},
        f"spec.tracking.secretRef.name db {_SAFE_SECRETS}",
    ),
    Case("trackers", {"tracking": {"mlflow": {"uri": "https://m"}}}, None),
    Case("trackers", {"tracking": {"tensorboard": {}}}, None, _allow(trackers=[])),
    Case(
        "trackers",
        {"tracking": {"mlflow": {"uri": "https://m.example"}}},
        "spec.tracking.mlflow.uri https://m.example is not allowed; allow.trackers has https://*.corp.example",
        _allow(trackers=["https://*.corp.example"]),
    ),
    Case("trackers", {"tracking": {"trackio": {}}}, None, _allow(trackers=[])),
    Case(
        "trackers by default",
        {},
        None,
        {
            **_allow(trackers=[], secrets=[]),
            "defaults": {"tracking": {"mlflow": {"uri": "https://m"}, "secretRef": {"name": "s"}}},
        },
    ),
    Case(
        "trackers",
        {"tracking": {"trackio": {"uri": "https://t.example"}}},
        "spec.tracking.trackio.uri https://t.example is not allowed; allow.trackers has https://*.corp.example",
        _allow(trackers=["https://*.corp.example"]),
    ),
    Case(
        "secrets imagePullSecrets",
        _pod(imagePullSecrets=[{"name": "finetune-pull"}, {"name": "db"}]),
        f"spec.pod.imagePullSecrets[].name db {_SAFE_SECRETS}",
    ),
    Case(
        "secrets env",
        _pod(env=[{"name": "HF_TOKEN", **SECRET}]),
        f"spec.pod.env[].valueFrom.secretKeyRef.name db {_SAFE_SECRETS}",
    ),
    Case(
        "secrets env",
        _pod(env=[{"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "finetune-hub", "key": "HF_TOKEN"}}}]),
        None,
    ),
    Case(
        "configMaps",
        _pod(env=[{"name": "HF_TOKEN", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "a"}}}]),
        "spec.pod.env[].valueFrom.configMapKeyRef.name settings is not allowed; allow.configMaps has finetune-*",
    ),
    Case("env", _pod(env=[{"name": "OMP_NUM_THREADS", "value": "1"}]), None),
    Case(
        "env",
        _pod(env=[{"name": "OMP_NUM_THREADS", "value": "1"}, {"name": "HF_HOME", "value": "/x"}]),
        f"spec.pod.env[].name HF_HOME is not allowed; allow.env has {_ENV}",
    ),
    Case(
        "tolerations",
        _pod(tolerations=[_GPU_TAINT, {"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}]),
        "spec.pod.tolerations[].key node-role.kubernetes.io/control-plane is not allowed; "
        "allow.tolerations has nvidia.com/gpu, amd.com/gpu",
    ),
    Case("tolerations", _pod(tolerations=[_GPU_TAINT]), None),
    Case(
        "tolerations",
        _pod(tolerations=[{"operator": "Exists"}]),
        "spec.pod.tolerations[].key * is not allowed; allow.tolerations has nvidia.com/gpu, amd.com/gpu",
    ),
    Case("tolerations", _pod(tolerations=[{"key": "", "operator": "Exists"}]), "spec.pod.tolerations[].key * is not"),
    Case("nodeSelectorKeys", _pod(nodeSelector={"nvidia.com/gpu.product": "H100"}), None),
    Case(
        "nodeSelectorKeys",
        _pod(nodeSelector={"pool": "db"}),
        "spec.pod.nodeSelector pool is not allowed; allow.nodeSelectorKeys has amd.com/*, kubernetes.io/arch, ",
    ),
    Case("labels", _pod(labels={"kueue.x-k8s.io/queue-name": "team-a", "app.kubernetes.io/part-of": "x"}), None),
    Case(
        "labels",
        _pod(labels={"app": "web"}),
        "spec.pod.labels app is not allowed; allow.labels has app.kubernetes.io/*, kueue.x-k8s.io/queue-name",
    ),
    Case(
        "annotations",
        _pod(annotations={"container.apparmor.security.beta.kubernetes.io/trainer": "unconfined"}),
        "spec.pod.annotations container.apparmor.security.beta.kubernetes.io/trainer is not allowed; "
        "allow.annotations has nothing",
    ),
    # The rest of spec.pod.
    Case(
        "secrets volumes",
        _volume(secret={"secretName": "db"}),
        f"spec.pod.volumes[].secret.secretName db {_SAFE_SECRETS}",
    ),
    Case("secrets volumes", _volume(secret={"secretName": "finetune-x"}), None),
    Case(
        "configMaps volumes",
        _volume(configMap={"name": "settings"}),
        "spec.pod.volumes[].configMap.name settings is not allowed; allow.configMaps has finetune-*",
    ),
    Case(
        "images volumes",
        _volume(image={"reference": "evil/x"}),
        "spec.pod.volumes[].image.reference evil/x is not allowed; allow.images has nothing",
    ),
    Case("claims", _volume(persistentVolumeClaim={"claimName": "any"}), None),
    Case(
        "claims",
        _volume(persistentVolumeClaim={"claimName": "other"}),
        "spec.pod.volumes[].persistentVolumeClaim.claimName other is not allowed; allow.claims has data-*",
        _allow(claims=["data-*"]),
    ),
    Case("volumes", _volume(emptyDir={}), None),
    Case(
        "volumes",
        _volume(emptyDir={}),
        "spec.pod.volumes emptyDir is not allowed; allow.volumes has configMap, secret",
        _allow(volumes=["configMap", "secret"]),
    ),
    *(
        Case(
            "volumes", _volume(**source), f"spec.pod.volumes {kind} is not allowed", _allow(volumes=["a"], images=["*"])
        )
        for kind, source in {
            "configMap": {"configMap": {"name": "finetune-x"}},
            "secret": {"secret": {"secretName": "finetune-x"}},
            "image": {"image": {"reference": "x"}},
            "persistentVolumeClaim": {"persistentVolumeClaim": {"claimName": "x"}},
        }.items()
    ),
    Case("accelerators", _pod(accelerator={"resource": "nvidia.com/gpu"}), None),
    Case(
        "accelerators",
        _pod(accelerator={"resource": "corp.example/fpga"}),
        "spec.pod.accelerator.resource corp.example/fpga is not allowed; allow.accelerators has nvidia.com/gpu",
    ),
    Case(
        "resourceClaimTemplates",
        _pod(accelerator={"resourceClaimTemplateName": "gpus"}),
        "spec.pod.accelerator.resourceClaimTemplateName gpus is not allowed; allow.resourceClaimTemplates has nothing",
    ),
    Case(
        "runtimeClasses",
        _pod(runtimeClassName="runc-privileged"),
        "spec.pod.runtimeClassName runc-privileged is not allowed; allow.runtimeClasses has nothing",
    ),
    Case(
        "schedulers",
        _pod(schedulerName="mine"),
        "spec.pod.schedulerName mine is not allowed; allow.schedulers has nothing",
    ),
    Case("securityContext", _pod(securityContext={}), None),
    *(
        Case(
            "securityContext",
            _pod(securityContext=users),
            "spec.pod.securityContext names users or groups, which is not allowed; allow.securityContext is false",
        )
        for users in ({"runAsUser": 1000}, {"runAsGroup": 1}, {"fsGroup": 1}, {"supplementalGroups": [1]})
    ),
    Case("securityContext", _pod(securityContext={"runAsUser": 1000}), None, {"allow": {"securityContext": True}}),
    Case(
        "nodeSelectorKeys required", _node_affinity(_required(["kubernetes.io/arch"], ["nvidia.com/gpu.product"])), None
    ),
    Case(
        "nodeSelectorKeys required",
        _node_affinity(_required(["kubernetes.io/arch"], ["kubernetes.io/arch", "pool"])),
        "spec.pod.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution pool is not allowed; "
        "allow.nodeSelectorKeys has amd.com/*, ",
    ),
    Case(
        "nodeSelectorKeys preferred",
        _node_affinity(_preferred("kubernetes.io/arch", "pool")),
        "spec.pod.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution pool is not allowed; "
        "allow.nodeSelectorKeys has amd.com/*, ",
    ),
    # Globs.
    Case("images", _pod(image="registry.corp/ft@sha256:1"), None, _allow(images=["other/*", "registry.corp/*"])),
    Case(
        "images",
        _pod(image="registryXcorp/ft"),
        "spec.pod.image registryXcorp/ft is not allowed; allow.images has registry.corp/*",
        _allow(images=["registry.corp/*"]),
    ),
    Case("images", _pod(image="a/(x)|[y]+?^$.b"), None, _allow(images=["a/(x)|[y]+?^$.*"])),
    Case("images", _pod(image="b"), "spec.pod.image b is not allowed", _allow(images=["a|b", "(b)", ".", "[b]"])),
    Case("images", _pod(image="abcabd"), None, _allow(images=["a*b*d"])),
    Case("images", _pod(image="abda"), "spec.pod.image abda is not allowed", _allow(images=["a*b*d"])),
    Case("images", _pod(image="aa"), "spec.pod.image aa is not allowed", _allow(images=["aa*a"])),
    Case("secrets model", _secret_of("model"), "spec.model.secretRef.name db is not allowed", _allow(secrets=[])),
    Case("secrets model", _secret_of("model"), None, _allow(secrets=["*"])),
    Case("tolerations", _pod(tolerations=[{"operator": "Exists"}]), None, _allow(tolerations=["*"])),
    # Sources and outputs.
    Case("sources model", _source("corp/bert"), None, _allow(sources=["hf://corp/*", "hf://Yelp/*"])),
    Case("sources model", _source("hf://corp/bert"), None, _allow(sources=["hf://corp/*", "hf://Yelp/*"])),
    Case(
        "sources model",
        _source("s3://corp/bert"),
        "spec.model.source s3://corp/bert is not allowed; allow.sources has hf://*",
        _allow(sources=["hf://*"]),
    ),
    Case("sources model", _source("bert"), "spec.model.source hf://bert is not allowed", _allow(sources=["hf://a/*"])),
    Case("sources dataset", _dataset("hf://datasets/corp/x"), None, _allow(sources=["hf://corp/*", "hf://google-*"])),
    Case(
        "sources dataset",
        _dataset("other/x"),
        "spec.dataset.source hf://other/x is not allowed; allow.sources has hf://google-bert/*",
        _allow(sources=["hf://google-bert/*"]),
    ),
    Case(
        "outputs",
        {"output": {"uri": "s3://models/profiles-a/job/1"}},
        None,
        _allow(outputs=["s3://models/{namespace}/{name}/*"]),
    ),
    Case(
        "outputs",
        {"output": {"uri": "s3://models/profiles-b/x"}},
        "spec.output.uri s3://models/profiles-b/x is not allowed; allow.outputs has s3://models/{namespace}/*",
        _allow(outputs=["s3://models/{namespace}/*"]),
    ),
    Case("outputs", {"output": {"size": "1Gi"}}, None, _allow(outputs=[])),
    # Who is told of the end.
    Case("notify", _webhook("https://hooks.corp.example:8443/x"), None),
    Case("notify", {"notify": [{"name": "chat", "slack": {}}]}, None, _notify(hosts=[])),
    Case(
        "notify hosts",
        _webhook("https://evil.example/hooks.corp.example"),
        "spec.notify[].webhook.url evil.example is not allowed; notify.hosts has *.corp.example",
        _notify(hosts=["*.corp.example"]),
    ),
    Case(
        "notify hosts", _webhook("https://profiles-a.corp.example/"), None, _notify(hosts=["{namespace}.corp.example"])
    ),
    Case(
        "notify http",
        _webhook("http://hooks.corp.example/x"),
        "spec.notify[].webhook.url by http hooks.corp.example is not allowed; notify.privateHosts has nothing",
    ),
    Case("notify http", _webhook("http://hooks.monitoring.svc/x"), None, _notify(privateHosts=["*.svc"])),
    # Limits.
    Case("gpus", {"resources": {"gpus": 8}}, None, _limits(gpus=8)),
    Case("gpus", {"resources": {"gpus": 9}}, "spec.resources.gpus 9 is too much; limits.gpus is 8", _limits(gpus=8)),
    Case("gpus", {"resources": {"gpus": 1}}, "spec.resources.gpus 1 is too much; limits.gpus is 0", _limits(gpus=0)),
    Case(
        "nodes", {"resources": {"nodes": 3}}, "spec.resources.nodes 3 is too much; limits.nodes is 2", _limits(nodes=2)
    ),
    Case(
        "cpu", {"resources": {"cpu": "4001m"}}, "spec.resources.cpu 4001m is too much; limits.cpu is 4", _limits(cpu=4)
    ),
    Case("cpu", {"resources": {"cpu": "4000m"}}, None, _limits(cpu=4)),
    Case(
        "memory",
        {"resources": {"memory": "9G"}},
        "spec.resources.memory 9G is too much; limits.memory is 8Gi",
        _limits(memory="8Gi"),
    ),
    Case("memory", {"resources": {"memory": "8G"}}, None, _limits(memory="8Gi")),
    Case(
        "outputSize",
        {"output": {"size": "2Ti"}},
        "spec.output.size 2Ti is too much; limits.outputSize is 1Ti",
        _limits(outputSize="1Ti"),
    ),
    Case(
        "activeDeadlineSeconds",
        {"runPolicy": {"activeDeadlineSeconds": 3601}},
        "spec.runPolicy.activeDeadlineSeconds 3601 is too much; limits.activeDeadlineSeconds is 3600",
        _limits(activeDeadlineSeconds=3600),
    ),
    Case("activeDeadlineSeconds", {}, None, _limits(activeDeadlineSeconds=3600)),
    Case(
        "backoffLimit",
        {"runPolicy": {"backoffLimit": 4}},
        "spec.runPolicy.backoffLimit 4 is too much; limits.backoffLimit is 3",
        _limits(backoffLimit=3),
    ),
    Case(
        "backoffLimit",
        {"runPolicy": {"backoffLimit": 3}},
        "spec.runPolicy.backoffLimit 3 is too much; limits.backoffLimit is 1",
        _limits(backoffLimit=1),
    ),
    # Namespaces.
    Case("namespaces", {}, None, {"namespaces": {"matchLabels": {"team": "a"}}}),
    Case(
        "namespaces",
        {},
        "namespace profiles-b may not have this profile; namespaces has team=a",
        {"namespaces": {"matchLabels": {"team": "a"}}},
        "profiles-b",
    ),
    Case(
        "namespaces",
        {},
        "namespace profiles-c may not have this profile; namespaces has team=",
        {"namespaces": {"matchLabels": {"team": ""}}},
        "profiles-c",
    ),
    Case("namespaces", {}, None, _expressions({"key": "env", "operator": "Exists"}), "profiles-b"),
    Case(
        "namespaces",
        {},
        "namespace profiles-a may not have this profile; namespaces has env Exists",
        _expressions({"key": "env", "operator": "Exists"}),
    ),
    Case("namespaces", {}, None, _expressions({"key": "env", "operator": "DoesNotExist"})),
    Case(
        "namespaces",
        {},
        "namespace profiles-b may not have this profile; namespaces has env DoesNotExist",
        _expressions({"key": "env", "operator": "DoesNotExist"}),
        "profiles-b",
    ),
    Case("namespaces", {}, None, _expressions({"key": "team", "operator": "In", "values": ["a", "b"]}), "profiles-b"),
    Case(
        "namespaces",
        {},
        "namespace profiles-c may not have this profile; namespaces has team In (a, b)",
        _expressions({"key": "team", "operator": "In", "values": ["a", "b"]}),
        "profiles-c",
    ),
    Case("namespaces", {}, None, _expressions({"key": "team", "operator": "NotIn", "values": ["a"]}), "profiles-c"),
    Case(
        "namespaces",
        {},
        "namespace profiles-a may not have this profile; namespaces has team NotIn (a)",
        _expressions({"key": "team", "operator": "NotIn", "values": ["a"]}),
    ),
]

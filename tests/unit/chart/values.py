"""What several tests of the chart compare with."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from finetune_api.notify import SECRET
from finetune_operator.generate.files import project_version

ROOT = Path(__file__).parents[3]
VERSION = project_version(ROOT)
LABELS = {
    "app.kubernetes.io/name": "finetune-operator",
    "app.kubernetes.io/instance": "ft",
    "app.kubernetes.io/version": VERSION,
    "app.kubernetes.io/managed-by": "Helm",
    "helm.sh/chart": f"finetune-operator-{VERSION}",
}
SELECTOR = {"app.kubernetes.io/name": "finetune-operator", "app.kubernetes.io/instance": "ft"}
Json = dict[str, Any]
Render = Callable[..., dict[str, Json]]
DIGEST = f"sha256:{'01' * 32}"
EVERY_VALUE: Json = {
    "fullnameOverride": "tuner",
    "image": {"repository": "registry.example.com/operator", "digest": DIGEST, "tag": "1.2.3", "pullPolicy": "Always"},
    "imagePullSecrets": [{"name": "pull"}],
    "trainerImage": {"repository": "registry.example.com/trainer", "tag": "4.5.6"},
    "profile": "open",
    "safeLimits": {"gpus": 2, "nodes": None},
    "platformUser": True,
    "kueue": True,
    "jobNetworkPolicies": False,
    "watchNamespaces": ["team-a", "team-b"],
    "serviceAccount": {"name": "tuner-account", "annotations": {"example.com/role": "tuner"}},
    "networkPolicy": {
        "apiServerCidrs": ["10.0.0.1/32"],
        "apiServerPorts": [8443],
        "probeCidrs": ["10.1.0.0/16", "fd00::/8"],
    },
    "podDisruptionBudget": {"maxUnavailable": 0},
    "rbac": {"profileViewers": ["platform", "tenants"]},
    "reports": {"port": 443, "url": "https://reports.example.com"},
    "traces": {"endpoint": "http://collector.monitoring:4318", "ports": [4317, 4318], "share": 0.1},
    "notify": {"ports": [443, 3128], "cidrs": ["10.2.0.7/32"]},
    "page": {"enabled": True, "replicas": 2, "reachedFrom": ["ingress"]},
    "log": {"level": "DEBUG", "format": "text"},
    "extraEnv": [{"name": "FINETUNE_OPERATOR_WORKERS", "value": "16"}],
    "resources": {"limits": {"memory": "1Gi"}},
    "podLabels": {"team": "platform"},
    "podAnnotations": {"example.com/scrape": "true"},
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "control", "operator": "Exists"}],
    "replicas": 3,
    "affinity": {"nodeAffinity": {}},
    "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}],
    "priorityClassName": "system-cluster-critical",
}
NAMESPACED_RULES = [
    {"apiGroups": ["finetune.dev"], "resources": ["finetunejobs"], "verbs": ["get", "list", "watch"]},
    {
        "apiGroups": ["finetune.dev"],
        "resources": ["finetunejobs/status", "finetunejobs/profile"],
        "verbs": ["update"],
    },
    {"apiGroups": ["finetune.dev"], "resources": ["finetunejobs/finalizers"], "verbs": ["update"]},
    {
        "apiGroups": ["batch"],
        "resources": ["jobs"],
        "verbs": ["create", "delete", "get", "list", "patch", "watch"],
    },
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create", "get"]},
    {
        "apiGroups": [""],
        "resources": ["configmaps"],
        "resourceNames": ["finetune-operator-ca"],
        "verbs": ["patch"],
    },
    {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]},
    {"apiGroups": [""], "resources": ["secrets"], "resourceNames": [SECRET], "verbs": ["get"]},
    {"apiGroups": [""], "resources": ["persistentvolumeclaims"], "verbs": ["create", "delete", "get"]},
    {"apiGroups": [""], "resources": ["resourcequotas"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": [""], "resources": ["services"], "verbs": ["create", "delete", "get"]},
    {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": ["create", "delete", "get"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "list"]},
]
CHART = ROOT / "charts" / "finetune-operator"
OWN_POLICY = "ft-finetune-operator.ft-system.operator.finetune.dev"

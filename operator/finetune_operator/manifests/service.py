"""The headless Service by which the pods of one run find the first of them.

DNS gives each pod `<its hostname>.<the Service's name>.<namespace>.svc`: the Job sets the hostname to `<Job>-<index>`,
and the pod template's `subdomain` names the Service.
https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/#pod-s-hostname-and-subdomain-fields
"""

import hashlib

from finetune_api.base import JsonObject
from finetune_api.v1alpha1 import FineTuneJobSpec
from finetune_api.well_known import LABEL_JOB_UID
from finetune_operator.job.finetunejob import FineTuneJob

# Below the range that Linux takes for outgoing connections (32768–60999), and above the well-known ports.
_FIRST_PORT = 20_000
_PORTS = 10_000


def build_service(metadata: JsonObject, finetunejob: FineTuneJob, spec: FineTuneJobSpec) -> JsonObject | None:
    """The Service, or None for a job of one pod, which has no other pod to find."""
    if spec.resources.nodes == 1:
        return None
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": finetunejob.names.service, **metadata},
        "spec": {
            "clusterIP": "None",
            # A pod is ready once its container runs; the others look for it before that.
            "publishNotReadyAddresses": True,
            "selector": {LABEL_JOB_UID: finetunejob.uid},
            "ports": [{"name": "rendezvous", "port": rendezvous_port(finetunejob.uid)}],
        },
    }


def rendezvous(finetunejob: FineTuneJob) -> str:
    """host:port of the first pod, under which the others find it."""
    names, namespace = finetunejob.names, finetunejob.namespace
    return f"{names.job}-0.{names.service}.{namespace}.svc:{rendezvous_port(finetunejob.uid)}"


def rendezvous_port(uid: str) -> int:
    """The port of one run: its own, since all pods of the dev cluster have one address."""
    return _FIRST_PORT + int(hashlib.sha256(uid.encode()).hexdigest(), 16) % _PORTS

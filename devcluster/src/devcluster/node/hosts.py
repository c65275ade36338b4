"""Host names of pods, said as the address of this machine.

In a cluster DNS knows `HOSTNAME.SUBDOMAIN.NAMESPACE.svc` of each pod that a headless Service of the subdomain's name
selects. Here all pods are processes of one machine, and nothing answers DNS for them: such names in `command`, `args`
and `env` become the machine's loopback address. Only those of the pod's own subdomain are known.
"""

import re
from collections.abc import Callable

from devcluster.client import Object
from devcluster.node.sources import HOST_IP

_HOST = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"


def governs(service: Object, pod: Object) -> bool:
    """Whether the Service puts the pod's name into DNS: it is headless, of the subdomain's name, and selects the pod."""
    spec, labels = service["spec"], pod["metadata"].get("labels") or {}
    selector = spec.get("selector") or {}
    chosen = bool(selector) and all(labels.get(key) == value for key, value in selector.items())
    return spec.get("clusterIP") == "None" and service["metadata"]["name"] == pod["spec"].get("subdomain") and chosen


def host_rewriter(pod: Object) -> Callable[[str], str]:
    """A function that replaces the names of the pods of this pod's subdomain, with or without what may follow."""
    subdomain, namespace = map(re.escape, (pod["spec"]["subdomain"], pod["metadata"]["namespace"]))
    suffix = rf"(?:\.{namespace}(?:\.svc(?:\.cluster\.local)?)?)?"
    pattern = re.compile(rf"(?<![\w.-]){_HOST}\.{subdomain}{suffix}(?![\w-]|\.\w)")
    return lambda text: pattern.sub(HOST_IP, text)

"""Host names of pods, rewritten to the address of this machine.

In a cluster DNS knows `HOSTNAME.SUBDOMAIN.NAMESPACE.svc` of each pod that a headless Service of the subdomain's name
selects. Here all pods are processes of one machine, and nothing answers DNS for them: such names in `command`, `args`
and `env` are replaced by the loopback address. Only those of the pod's own subdomain are replaced.
"""

import re
from collections.abc import Callable

from devcluster.client import Object
from devcluster.node.sources import HOST_IP

_HOST = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"


def selects_by_name(service: Object, pod: Object) -> bool:
    """Return whether the Service publishes the pod's name: it is headless, named as the subdomain, and selects the pod."""
    spec, labels = service["spec"], pod["metadata"].get("labels") or {}
    selector = spec.get("selector") or {}
    chosen = bool(selector) and all(labels.get(key) == value for key, value in selector.items())
    return spec.get("clusterIP") == "None" and service["metadata"]["name"] == pod["spec"].get("subdomain") and chosen


def host_rewriter(pod: Object) -> Callable[[str], str]:
    """Return a function that replaces names of pods in this pod's subdomain, with or without namespace and domain."""
    subdomain, namespace = map(re.escape, (pod["spec"]["subdomain"], pod["metadata"]["namespace"]))
    suffix = rf"(?:\.{namespace}(?:\.svc(?:\.cluster\.local)?)?)?"
    pattern = re.compile(rf"(?<![\w.-]){_HOST}\.{subdomain}{suffix}(?![\w-]|\.\w)")
    return lambda text: pattern.sub(HOST_IP, text)

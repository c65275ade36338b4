"""Defaults and validation of Services' names and addresses: no Service carries traffic here."""

import uuid

from devcluster.apiserver.errors import FieldError, immutable, invalid_value, required
from devcluster.apiserver.objects import Object

_HEADLESS = "None"


def default_service(spec: Object) -> None:
    """Fill in the defaults of a Service; a headless one (clusterIP: None) has no address."""
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    spec.setdefault("internalTrafficPolicy", "Cluster")
    if "clusterIP" not in spec:
        low = uuid.uuid4().int
        spec["clusterIP"] = f"10.96.{low % 256}.{low // 256 % 254 + 1}"
    spec.setdefault("clusterIPs", [spec["clusterIP"]])
    spec.setdefault("ipFamilies", ["IPv4"])
    spec.setdefault("ipFamilyPolicy", "SingleStack")
    for port in spec.get("ports") or ():
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port.get("port"))


def check_service(spec: Object) -> list[FieldError]:
    """Validate a Service beyond its schema."""
    ports = spec.get("ports") or []
    errors = [] if ports or spec.get("clusterIP") == _HEADLESS else [required("spec.ports")]
    names: set[str] = set()
    for index, port in enumerate(ports):
        where, number, name = f"spec.ports[{index}]", port.get("port"), port.get("name") or ""
        if not isinstance(number, int) or not 1 <= number <= 65535:
            errors.append(invalid_value(f"{where}.port", number, "must be between 1 and 65535, inclusive"))
        if not name and len(ports) > 1:
            errors.append(required(f"{where}.name"))
        if name and name in names:
            errors.append(FieldError(f"{where}.name", "FieldValueDuplicate", f'Duplicate value: "{name}"'))
        names.add(name)
    return errors


def check_service_update(new: Object, old: Object) -> list[FieldError]:
    """Validate an update: the address of a Service is immutable."""
    if new.get("clusterIP") == old.get("clusterIP"):
        return []
    return [immutable("spec.clusterIPs[0]", [new.get("clusterIP")])]

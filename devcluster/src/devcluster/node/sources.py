"""The sources of a pod's environment and volumes: its own fields, and the ConfigMaps and Secrets that it names."""

import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from kubernetes.aio.client.exceptions import ApiException

from devcluster.client import CONFIG_MAPS, SECRETS, Client, Object, Resource

HOST_IP = "127.0.0.1"


class UnresolvedReference(Exception):
    """A pod refers to an object that does not exist. The message is in the kubelet's words; the kubelet retries."""


@dataclass(frozen=True)
class Sources:
    """ConfigMaps and Secrets of one namespace by name, each as its content by key."""

    namespace: str
    config_maps: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict)
    secrets: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict)

    def config_map(self, name: str, *, optional: bool = False) -> Mapping[str, bytes]:
        """Return all keys of a ConfigMap; none if it is missing and `optional`."""
        if name not in self.config_maps and not optional:
            raise UnresolvedReference(f'configmap "{name}" not found')
        return self.config_maps.get(name, {})

    def secret(self, name: str, *, optional: bool = False) -> Mapping[str, bytes]:
        """Return all keys of a Secret; none if it is missing and `optional`."""
        if name not in self.secrets and not optional:
            raise UnresolvedReference(f'secret "{name}" not found')
        return self.secrets.get(name, {})


def _references(node: object, key: str) -> Iterator[Object]:
    """Yield every mapping under `key`, anywhere in a pod's spec."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name == key and isinstance(value, dict):
                yield value
            yield from _references(value, key)
    elif isinstance(node, list):
        for item in node:
            yield from _references(item, key)


def config_map_names(pod: Object) -> set[str]:
    """Return the names of the ConfigMaps that a pod's volumes and environment use."""
    return {
        reference["name"] for key in ("configMap", "configMapKeyRef") for reference in _references(pod["spec"], key)
    }


def secret_names(pod: Object) -> set[str]:
    """Return the names of the Secrets that a pod's volumes and environment use."""
    return {
        reference.get("name") or reference["secretName"]
        for key in ("secret", "secretKeyRef")
        for reference in _references(pod["spec"], key)
    }


async def load_sources(client: Client, pod: Object) -> Sources:
    """Read the ConfigMaps and Secrets of a pod. Missing ones are left out, since references may be optional."""
    namespace = pod["metadata"]["namespace"]

    async def read(resource: Resource, names: set[str]) -> dict[str, Object]:
        found = {}
        for name in sorted(names):
            try:
                found[name] = await client.get(resource.path(namespace, name))
            except ApiException as error:
                if error.status != 404:
                    raise
        return found

    config_maps = await read(CONFIG_MAPS, config_map_names(pod))
    secrets = await read(SECRETS, secret_names(pod))
    return Sources(
        namespace,
        {name: config_map_content(config_map) for name, config_map in config_maps.items()},
        {name: _decoded(secret.get("data")) for name, secret in secrets.items()},
    )


def config_map_content(config_map: Object) -> dict[str, bytes]:
    """Return `data` and `binaryData` of a ConfigMap as bytes by key."""
    text = {key: value.encode() for key, value in (config_map.get("data") or {}).items()}
    return {**text, **_decoded(config_map.get("binaryData"))}


def _decoded(data: Mapping[str, str] | None) -> dict[str, bytes]:
    return {key: base64.b64decode(value) for key, value in (data or {}).items()}


_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['(?P<key>[^']+)'\]")


def field_value(pod: Object, path: str) -> str:
    """Return the value of a `fieldRef` of the downward API.

    Raises:
        UnresolvedReference: the downward API has no such field.
    """
    metadata, spec = pod["metadata"], pod["spec"]
    if match := _SUBSCRIPT.fullmatch(path):
        return str((metadata.get(match.group(1)) or {}).get(match.group("key"), ""))
    values = {
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata["namespace"],
        "metadata.uid": metadata["uid"],
        "spec.nodeName": spec.get("nodeName", ""),
        "spec.serviceAccountName": spec.get("serviceAccountName", "default"),
        "status.hostIP": HOST_IP,
        "status.hostIPs": HOST_IP,
        "status.podIP": HOST_IP,
        "status.podIPs": HOST_IP,
    }
    if path not in values:
        raise UnresolvedReference(f"unsupported fieldPath: {path}")
    return str(values[path])

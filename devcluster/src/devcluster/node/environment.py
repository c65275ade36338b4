"""The environment and command line of a container's process."""

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from devcluster.client import Object
from devcluster.node.rewriting import expand
from devcluster.node.scheduling import Resources
from devcluster.node.sources import Sources, UnresolvedReference, field_value, resource_value

Rewrite = Callable[[str], str]

_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")


def base_environment(pod: Object, home: Path, api_host: str, api_port: str) -> dict[str, str]:
    """What every container finds in its environment; nothing of the developer's own shell."""
    return {
        # First the interpreter that runs the dev cluster, with the programs installed beside it.
        "PATH": f"{Path(sys.executable).parent}:{_SYSTEM_PATH}",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "HOSTNAME": pod["spec"].get("hostname") or pod["metadata"]["name"],
        "KUBERNETES_SERVICE_HOST": api_host,
        "KUBERNETES_SERVICE_PORT": api_port,
        "KUBERNETES_SERVICE_PORT_HTTPS": api_port,
    }


def container_environment(
    pod: Object,
    container: Object,
    sources: Sources,
    base: Mapping[str, str],
    allocatable: Resources,
    rewrite: Rewrite,
) -> dict[str, str]:
    """The whole environment: `base`, then `envFrom`, then `env` in order, each with the paths rewritten.

    Raises:
        UnresolvedReference: a ConfigMap, Secret or key is missing and not optional.
    """
    environment = dict(base)
    for source in container.get("envFrom") or []:
        environment.update({name: rewrite(value) for name, value in _imported(source, sources).items()})
    for variable in container.get("env") or []:
        if "valueFrom" in variable:
            value = _referenced(pod, container, variable, sources, allocatable)
            if value is not None:
                environment[variable["name"]] = rewrite(value)
        else:
            environment[variable["name"]] = expand(rewrite(variable.get("value") or ""), environment)
    return environment


def _imported(source: Object, sources: Sources) -> dict[str, str]:
    """The variables of one `envFrom` entry; keys that are no variable's name are passed over, as the kubelet does."""
    if reference := source.get("configMapRef"):
        content = sources.config_map(reference["name"], optional=bool(reference.get("optional")))
    elif reference := source.get("secretRef"):
        content = sources.secret(reference["name"], optional=bool(reference.get("optional")))
    else:
        content = {}
    named = {f"{source.get('prefix') or ''}{key}": value.decode(errors="replace") for key, value in content.items()}
    return {name: value for name, value in named.items() if _NAME.fullmatch(name)}


def _referenced(
    pod: Object,
    container: Object,
    variable: Object,
    sources: Sources,
    allocatable: Resources,
) -> str | None:
    origin = variable["valueFrom"]
    if reference := origin.get("fieldRef"):
        return field_value(pod, reference["fieldPath"])
    if reference := origin.get("resourceFieldRef"):
        name = reference.get("containerName") or container["name"]
        named = next((other for other in pod["spec"]["containers"] if other["name"] == name), container)
        return resource_value(named, reference, allocatable)
    if reference := origin.get("configMapKeyRef"):
        content = sources.config_map(reference["name"], optional=bool(reference.get("optional")))
        return _key(content, reference, "ConfigMap", sources.namespace)
    if reference := origin.get("secretKeyRef"):
        content = sources.secret(reference["name"], optional=bool(reference.get("optional")))
        return _key(content, reference, "Secret", sources.namespace)
    raise UnresolvedReference(f"env {variable['name']}: this kind of valueFrom is not served here")


def _key(content: Mapping[str, bytes], reference: Object, kind: str, namespace: str) -> str | None:
    if reference["key"] in content:
        return content[reference["key"]].decode(errors="replace")
    if reference.get("optional"):
        return None
    raise UnresolvedReference(f"couldn't find key {reference['key']} in {kind} {namespace}/{reference['name']}")


def command_line(container: Object, environment: Mapping[str, str], rewrite: Rewrite) -> list[str]:
    """`command` and `args`, rewritten and expanded.

    `python` and `python3` are the interpreter of the dev cluster, since images are not used here.

    Raises:
        UnresolvedReference: the container leaves its command to its image.
    """
    words = [*(container.get("command") or []), *(container.get("args") or [])]
    if not container.get("command"):
        raise UnresolvedReference("no command specified: the dev cluster does not read images, so name the command")
    line = [expand(rewrite(word), environment) for word in words]
    if line[0] in ("python", "python3"):
        line[0] = sys.executable
    return line

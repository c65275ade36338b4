"""The environment and command line of a container's process."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from devcluster.client import Object
from devcluster.node.rewriting import expand
from devcluster.node.sources import Sources, UnresolvedReference, field_value

Rewrite = Callable[[str], str]

_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def base_environment(
    pod: Object, home: Path, api_host: str, api_port: str, python_path: Path | None = None
) -> dict[str, str]:
    """Return the variables of every container; the developer's own environment is not inherited."""
    return {
        **({"PYTHONPATH": str(python_path)} if python_path else {}),
        # First the folder of this interpreter, with the programs of its environment.
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
    rewrite: Rewrite,
) -> dict[str, str]:
    """Return the whole environment: `base`, then `env` in order, with paths rewritten.

    Raises:
        UnresolvedReference: a ConfigMap, Secret or key is missing and not optional, or there is an `envFrom`.
    """
    environment = dict(base)
    if container.get("envFrom"):
        raise UnresolvedReference("the dev cluster does not serve envFrom: name the keys in env")
    for variable in container.get("env") or []:
        if "valueFrom" in variable:
            value = _referenced(pod, variable, sources)
            if value is not None:
                environment[variable["name"]] = rewrite(value)
        else:
            environment[variable["name"]] = expand(rewrite(variable.get("value") or ""), environment)
    return environment


def _referenced(pod: Object, variable: Object, sources: Sources) -> str | None:
    origin = variable["valueFrom"]
    if reference := origin.get("fieldRef"):
        return field_value(pod, reference["fieldPath"])
    if reference := origin.get("configMapKeyRef"):
        content = sources.config_map(reference["name"], optional=bool(reference.get("optional")))
        return _key(content, reference, "ConfigMap", sources.namespace)
    if reference := origin.get("secretKeyRef"):
        content = sources.secret(reference["name"], optional=bool(reference.get("optional")))
        return _key(content, reference, "Secret", sources.namespace)
    raise UnresolvedReference(f"env {variable['name']}: the dev cluster does not serve {', '.join(origin)}")


def _key(content: Mapping[str, bytes], reference: Object, kind: str, namespace: str) -> str | None:
    if reference["key"] in content:
        return content[reference["key"]].decode(errors="replace")
    if reference.get("optional"):
        return None
    raise UnresolvedReference(f"couldn't find key {reference['key']} in {kind} {namespace}/{reference['name']}")


def command_line(container: Object, environment: Mapping[str, str], rewrite: Rewrite) -> list[str]:
    """Return `command` and `args`, rewritten and expanded.

    `python` and `python3` are this interpreter, since images are not used.

    Raises:
        UnresolvedReference: the container has no command, and so that of its image.
    """
    words = [*(container.get("command") or []), *(container.get("args") or [])]
    if not container.get("command"):
        raise UnresolvedReference("no command specified: the dev cluster does not read images, so name the command")
    line = [expand(rewrite(word), environment) for word in words]
    if line[0] in ("python", "python3"):
        line[0] = sys.executable
    return line

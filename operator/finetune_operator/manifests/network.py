"""What a pod needs in a closed network: whom it trusts, the proxy, and where the Hub is."""

from urllib.parse import urlsplit

from finetune_api.base import JsonObject
from finetune_api.profile import ProfileSettings, Proxy
from finetune_api.report import ENV_TRUST
from finetune_operator.manifests.paths import TRUST_DIR

_OTHERS = "FINETUNE_NO_PROXY"
"""The user's own list; a variable's value may name others that stand before it."""
_NEVER_BY_PROXY = ("localhost", "127.0.0.1", "::1", ".svc", "169.254.169.254", "metadata.google.internal")
"""This machine, Services of the cluster, and where clouds tell a machine who it is."""


def network_environment(settings: ProfileSettings, reports_url: str) -> list[JsonObject]:
    """Variables of the container. Reports never go through the proxy."""
    variables: list[JsonObject] = []
    if settings.trust:
        variables.append({"name": ENV_TRUST, "value": TRUST_DIR})
    if settings.hub:
        variables.append({"name": "HF_ENDPOINT", "value": settings.hub.endpoint})
    if settings.proxy:
        never = [urlsplit(reports_url).hostname or "", *_NEVER_BY_PROXY]
        variables += [
            *(_from(settings.proxy, name, name) for name in ("HTTP_PROXY", "HTTPS_PROXY")),
            _from(settings.proxy, _OTHERS, "NO_PROXY"),
            {"name": "NO_PROXY", "value": ",".join([*never, f"$({_OTHERS})"])},
        ]
    return variables


def trust_mounts(settings: ProfileSettings) -> list[JsonObject]:
    """Where the container sees the authorities."""
    return [{"name": "trust", "mountPath": TRUST_DIR, "readOnly": True}] if settings.trust else []


def trust_volumes(settings: ProfileSettings) -> list[JsonObject]:
    """The volume for `trust_mounts`. A ConfigMap that is not there keeps the pod from starting, and the Event names it."""
    if settings.trust is None:
        return []
    return [{"name": "trust", "configMap": {"name": settings.trust.config_map_ref.name}}]


def _from(proxy: Proxy, name: str, key: str) -> JsonObject:
    reference = {"name": proxy.secret_ref.name, "key": key, "optional": True}
    return {"name": name, "valueFrom": {"secretKeyRef": reference}}

"""ResourceQuotas: what of them is kept, and when one of them has more room than before."""

from decimal import Decimal
from typing import Final

from kubernetes.utils.quantity import parse_quantity

from finetune_api.base import JsonObject
from finetune_operator.kube.client import Kind

RESOURCE_QUOTAS: Final = Kind("/api/v1", "resourcequotas")


def trim_quota(raw: JsonObject) -> JsonObject:
    """The part of a ResourceQuota that a cache keeps."""
    metadata, status = raw["metadata"], raw.get("status") or {}
    return {
        "metadata": {name: metadata[name] for name in ("namespace", "name", "uid", "resourceVersion")},
        "status": {name: status.get(name) or {} for name in ("hard", "used")},
    }


class QuotaRoom:
    """How much of each quota is free, as it was last seen."""

    def __init__(self) -> None:
        self._free: dict[tuple[str, str], dict[str, Decimal]] = {}

    def has_grown(self, quota: JsonObject, *, gone: bool) -> bool:
        """Whether there is more room than when this quota was last seen: a limit was raised or removed, or a use fell.

        `gone` is whether the quota was deleted.
        """
        place = quota["metadata"]["namespace"], quota["metadata"]["name"]
        if gone:
            self._free.pop(place, None)
            return True
        before, now = self._free.get(place), _free(quota)
        self._free[place] = now
        if before is None:
            return False
        return any(name not in now or now[name] > free for name, free in before.items())


def _free(quota: JsonObject) -> dict[str, Decimal]:
    hard, used = quota["status"]["hard"], quota["status"]["used"]
    return {name: _number(limit) - _number(used.get(name, "0")) for name, limit in hard.items()}


def _number(quantity: str) -> Decimal:
    number: Decimal = parse_quantity(quantity)  # type: ignore[no-untyped-call]
    return number

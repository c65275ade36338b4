"""Creates an object, or finds the one of its name that is there already."""

from kubernetes.aio.client.exceptions import ConflictException

from finetune_api.base import JsonObject
from finetune_operator.kube.client import Kind, Kube


async def create(kube: Kube, kind: Kind, manifest: JsonObject) -> JsonObject:
    """Return the object as it was created, or the one of that name that is there already. Raises API_FAILURES."""
    made, _ = await create_or_get(kube, kind, manifest)
    return made


async def create_or_get(kube: Kube, kind: Kind, manifest: JsonObject) -> tuple[JsonObject, bool]:
    """Return the same, and whether it was created now. Raises API_FAILURES."""
    try:
        return await kube.create(kind, manifest), True
    except ConflictException:
        live = await kube.get(kind, manifest["metadata"]["namespace"], manifest["metadata"]["name"])
        if live is None:
            raise
        return live, False


async def find_or_create(kube: Kube, kind: Kind, manifest: JsonObject) -> JsonObject:
    """Return the same. It is asked for before: a quota that is used up refuses to create even what is there."""
    live = await kube.get(kind, manifest["metadata"]["namespace"], manifest["metadata"]["name"])
    return live or await create(kube, kind, manifest)


def place_of(kind: Kind, manifest: JsonObject) -> tuple[str, str]:
    """Plural and name, by which a child of one job is told from the others."""
    return kind.plural, manifest["metadata"]["name"]

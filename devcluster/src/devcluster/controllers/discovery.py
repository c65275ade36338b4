"""Discovery of the kinds that the API server serves."""

from dataclasses import dataclass, field

from devcluster.client import Client, Object, Resource

# The objects of the core group's Events.
_DOUBLES = {("events.k8s.io", "events")}
_NEEDED_VERBS = {"list", "watch", "delete"}


@dataclass(frozen=True)
class ResourceMapper:
    """The resources that the server serves, each in the preferred version of its group."""

    resources: frozenset[Resource] = field(default_factory=frozenset)

    def of_kind(self, api_version: str, kind: str) -> Resource | None:
        """Return the resource of a kind.

        The version does not matter: all versions of a group serve the same objects.
        """
        group = api_version.rpartition("/")[0]
        found = (resource for resource in self.resources if (resource.group, resource.kind) == (group, kind))
        return next(found, None)


async def discover(client: Client) -> ResourceMapper:
    """Return every kind that can be listed, watched and deleted."""
    found = _resources("", "v1", await client.get("/api/v1"))
    groups = await client.get("/apis")
    for group in groups["groups"]:
        preferred = group["preferredVersion"]
        listing = await client.get(f"/apis/{preferred['groupVersion']}")
        found |= _resources(group["name"], preferred["version"], listing)
    return ResourceMapper(frozenset(found))


def _resources(group: str, version: str, listing: Object) -> set[Resource]:
    return {
        Resource(group, version, entry["name"], entry["kind"], namespaced=entry["namespaced"])
        for entry in listing["resources"]
        if "/" not in entry["name"]
        and set(entry.get("verbs") or []) >= _NEEDED_VERBS
        and (group, entry["name"]) not in _DOUBLES
    }

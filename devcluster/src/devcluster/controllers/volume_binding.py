"""Binds claims to the volumes that are reserved for them, and releases volumes whose claims are deleted."""

import logging
from collections.abc import Mapping

from kubernetes.aio.client.exceptions import ApiException

from devcluster.client import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, Client, Object
from devcluster.controllers.workqueue import WorkQueue
from devcluster.informer import Informer, Key, key_of

logger = logging.getLogger(__name__)

_BIND_COMPLETED = "pv.kubernetes.io/bind-completed"


def volume_phase(volume: Object, claims: Mapping[Key, Object]) -> str:
    """Return the phase of a volume: Available, Bound, or Released if the claim that it is reserved for is deleted."""
    reserved = volume["spec"].get("claimRef")
    if not reserved:
        return "Available"
    claim = claims.get((reserved["namespace"], reserved["name"]))
    if claim is not None and reserved.get("uid") in (None, claim["metadata"]["uid"]):
        bound_to = claim["spec"].get("volumeName")
        return "Bound" if bound_to in (None, "", volume["metadata"]["name"]) else "Available"
    # Without a uid it is reserved for a claim that has not been created yet.
    return "Released" if reserved.get("uid") else "Available"


def bound_claim(claim: Object, volume: Object) -> Object:
    """Return the claim bound to this volume."""
    metadata, spec = claim["metadata"], volume["spec"]
    return {
        **claim,
        "metadata": {
            **metadata,
            "annotations": {**(metadata.get("annotations") or {}), _BIND_COMPLETED: "yes"},
        },
        "spec": {**claim["spec"], "volumeName": volume["metadata"]["name"]},
        "status": {"phase": "Bound", "accessModes": spec["accessModes"], "capacity": spec["capacity"]},
    }


class VolumeBinder:
    """Syncs each volume when it, or the claim that it is reserved for, changes."""

    def __init__(self, client: Client, volumes: Informer, claims: Informer) -> None:
        self._client = client
        self._volumes, self._claims = volumes, claims
        self._queue: WorkQueue[Key] = WorkQueue(self._sync)
        volumes.on_change(self._volume_changed)
        claims.on_change(self._claim_changed)

    async def run(self) -> None:
        """Run until cancelled."""
        await self._queue.run()

    def _volume_changed(self, old: Object | None, new: Object | None) -> None:
        if new:
            self._queue.add(key_of(new))

    def _claim_changed(self, old: Object | None, new: Object | None) -> None:
        claim = new or old
        if claim is None:
            return
        for key, volume in self._volumes.objects.items():
            reserved = volume["spec"].get("claimRef") or {}
            if (reserved.get("namespace"), reserved.get("name")) == key_of(claim):
                self._queue.add(key)

    async def _sync(self, key: Key) -> float | None:
        volume = self._volumes.objects.get(key)
        if volume is None or volume["metadata"].get("deletionTimestamp"):
            return None
        phase = volume_phase(volume, self._claims.objects)
        if (volume.get("status") or {}).get("phase") != phase:
            await self._write_phase(volume, phase)
        if phase == "Bound":
            reserved = volume["spec"]["claimRef"]
            await self._bind(self._claims.objects[reserved["namespace"], reserved["name"]], volume)
        return None

    async def _write_phase(self, volume: Object, phase: str) -> None:
        try:
            await self._client.patch(PERSISTENT_VOLUMES.path_of(volume, "status"), {"status": {"phase": phase}})
        except ApiException as error:
            if error.status != 404:
                raise

    async def _bind(self, claim: Object, volume: Object) -> None:
        bound = bound_claim(claim, volume)
        if bound == {**claim, "status": {**(claim.get("status") or {}), **bound["status"]}}:
            return
        try:
            if bound["spec"] != claim["spec"]:
                bound = {
                    **await self._client.replace(PERSISTENT_VOLUME_CLAIMS.path_of(claim), bound),
                    "status": bound["status"],
                }
            await self._client.replace(PERSISTENT_VOLUME_CLAIMS.path_of(claim, "status"), bound)
        except ApiException as error:
            if error.status != 404:
                raise

"""Creates a folder and a hostPath PersistentVolume for each claim, and deletes them with it."""

import asyncio
import logging
import shutil
from pathlib import Path

from aiohttp import ClientError
from kubernetes.aio.client.exceptions import ApiException

from devcluster.client import PERSISTENT_VOLUMES, Client, Object
from devcluster.informer import Informer

logger = logging.getLogger(__name__)

PROVISIONER = "devcluster.local/hostpath"
"""Named on the volumes, so that a real volume controller leaves their removal to this one."""

_PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
RETRY_SECONDS = 1.0


def should_provision(claim: Object) -> bool:
    """Return whether to create a volume for a claim: not if it names or selects one, or has no size."""
    spec = claim["spec"]
    return (
        (claim.get("status") or {}).get("phase", "Pending") == "Pending"
        and not spec.get("volumeName")
        and not spec.get("selector")
        and bool(((spec.get("resources") or {}).get("requests") or {}).get("storage"))
        and not claim["metadata"].get("deletionTimestamp")
    )


def volume_for(claim: Object, folder: Path) -> Object:
    """Return a PersistentVolume that is reserved for a claim."""
    metadata, spec = claim["metadata"], claim["spec"]
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": volume_name(claim), "annotations": {_PROVISIONED_BY: PROVISIONER}},
        "spec": {
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "accessModes": spec["accessModes"],
            "volumeMode": spec.get("volumeMode") or "Filesystem",
            "storageClassName": spec.get("storageClassName") or "",
            "persistentVolumeReclaimPolicy": "Delete",
            "hostPath": {"path": str(folder), "type": "DirectoryOrCreate"},
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": metadata["namespace"],
                "name": metadata["name"],
                "uid": metadata["uid"],
            },
        },
    }


def volume_name(claim: Object) -> str:
    return f"pvc-{claim['metadata']['uid']}"


def should_reclaim(volume: Object) -> bool:
    """Return whether to delete a volume: ours, released, with the reclaim policy Delete."""
    return (
        (volume["metadata"].get("annotations") or {}).get(_PROVISIONED_BY) == PROVISIONER
        and (volume.get("status") or {}).get("phase") == "Released"
        and volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete"
    )


class Provisioner:
    """Syncs on every change of claims and volumes."""

    def __init__(self, client: Client, claims: Informer, volumes: Informer, folder: Path) -> None:
        self._client = client
        self._claims, self._volumes, self._folder = claims, volumes, folder
        self._changed = asyncio.Event()
        for informer in (claims, volumes):
            informer.on_change(lambda old, new: self._changed.set())

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                for claim in [claim for claim in self._claims.objects.values() if should_provision(claim)]:
                    await self._provision(claim)
                for volume in [volume for volume in self._volumes.objects.values() if should_reclaim(volume)]:
                    await self._remove(volume)
            except (ApiException, ClientError, OSError) as error:
                logger.warning("volumes: %s, again in %g s", error, RETRY_SECONDS)
                await asyncio.sleep(RETRY_SECONDS)
                self._changed.set()

    async def _provision(self, claim: Object) -> None:
        name = volume_name(claim)
        if ("", name) in self._volumes.objects:
            return
        folder = self._folder / name
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o777)
        try:
            await self._client.create(PERSISTENT_VOLUMES.path(), volume_for(claim, folder))
        except ApiException as error:
            if error.status != 409:
                raise

    async def _remove(self, volume: Object) -> None:
        # The folder by the volume's name, never by its hostPath, which others may have written.
        await asyncio.to_thread(shutil.rmtree, self._folder / volume["metadata"]["name"], ignore_errors=True)
        await self._client.delete(PERSISTENT_VOLUMES.path_of(volume), uid=volume["metadata"]["uid"])

"""Creates a pod's volumes, and keeps those with files from the API up to date."""

import asyncio
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import ClientError
from kubernetes.aio.client.exceptions import ApiException

from devcluster.client import (
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    SERVICE_ACCOUNTS,
    Client,
    Object,
)
from devcluster.events import parse_timestamp
from devcluster.node.sources import UnresolvedReference, load_sources
from devcluster.node.volumes import (
    TokenKey,
    is_written_from_api,
    make_host_path,
    volume_files,
    wanted_tokens,
    write_files,
)

logger = logging.getLogger(__name__)

# Seconds; the kubelet refreshes ConfigMaps and Secrets about once a minute, which is long for a demo.
REFRESH_SECONDS = 2.0
# As the kubelet, request a new token when 80 % of the lifetime of the old one is over.
TOKEN_LIFE_USED = 0.8


class Mounts:
    """The volumes of one pod, in one folder."""

    def __init__(self, client: Client, pod: Object, folder: Path) -> None:
        self._client = client
        self._folder = folder
        self._tokens: dict[TokenKey, tuple[str, datetime]] = {}
        self.pod = pod

    async def make(self) -> dict[str, Path]:
        """Create every volume; return the path of each by name.

        Raises:
            UnresolvedReference: an object that a volume needs does not exist yet.
        """
        places = await self._write_from_api()
        for volume in self.pod["spec"].get("volumes") or []:
            name = volume["name"]
            if "emptyDir" in volume:
                places[name] = self._place(name)
                places[name].mkdir(parents=True, exist_ok=True)
                places[name].chmod(0o777)
            elif "hostPath" in volume:
                places[name] = make_host_path(volume["hostPath"])
            elif "persistentVolumeClaim" in volume:
                places[name] = await self._claimed(volume["persistentVolumeClaim"]["claimName"])
            elif name not in places:
                kinds = ", ".join(key for key in volume if key != "name")
                raise UnresolvedReference(f"volume {name}: the dev cluster does not serve {kinds}")
        return places

    async def refresh(self) -> None:
        """Write the files from the API again whenever their sources have changed. Run until cancelled."""
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            try:
                await self._write_from_api()
            except (UnresolvedReference, ApiException, ClientError, TimeoutError) as error:
                logger.warning("volumes of %s stay as they were: %s", self.pod["metadata"]["name"], error)

    def _place(self, volume: str) -> Path:
        return self._folder / volume

    async def _write_from_api(self) -> dict[str, Path]:
        volumes = [volume for volume in self.pod["spec"].get("volumes") or [] if is_written_from_api(volume)]
        if not volumes:
            return {}
        sources = await load_sources(self._client, self.pod)
        tokens = await self._current_tokens()
        places = {}
        for volume in volumes:
            files = volume_files(self.pod, volume, sources, tokens)
            places[volume["name"]] = self._place(volume["name"])
            write_files(places[volume["name"]], files)
        return places

    async def _current_tokens(self) -> Mapping[TokenKey, str]:
        for key in wanted_tokens(self.pod):
            _, renew_at = self._tokens.get(key, ("", None))
            if renew_at is None or datetime.now(UTC) >= renew_at:
                self._tokens[key] = await self._request_token(key)
        return {key: token for key, (token, _) in self._tokens.items()}

    async def _request_token(self, key: TokenKey) -> tuple[str, datetime]:
        """Request a token bound to this pod; return it and when to request the next."""
        audience, lifetime = key
        metadata = self.pod["metadata"]
        bound = {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {
                "audiences": [audience] if audience else [],
                "expirationSeconds": lifetime,
                "boundObjectRef": bound,
            },
        }
        account = self.pod["spec"].get("serviceAccountName", "default")
        asked_at = datetime.now(UTC)
        path = SERVICE_ACCOUNTS.path(metadata["namespace"], account, "token")
        status = (await self._client.create(path, request))["status"]
        life = parse_timestamp(status["expirationTimestamp"]) - asked_at
        return status["token"], asked_at + life * TOKEN_LIFE_USED

    async def _claimed(self, name: str) -> Path:
        namespace = self.pod["metadata"]["namespace"]
        claim = await self._read(PERSISTENT_VOLUME_CLAIMS.path(namespace, name), f'persistentvolumeclaim "{name}"')
        if (claim.get("status") or {}).get("phase") != "Bound":
            raise UnresolvedReference(f'persistentvolumeclaim "{name}" is not bound')
        volume_name = claim["spec"]["volumeName"]
        volume = await self._read(PERSISTENT_VOLUMES.path(name=volume_name), f'persistentvolume "{volume_name}"')
        if "hostPath" not in volume["spec"]:
            raise UnresolvedReference(
                f'persistentvolume "{volume_name}" is not a hostPath, which is all that is served'
            )
        return make_host_path({"type": "DirectoryOrCreate", **volume["spec"]["hostPath"]})

    async def _read(self, path: str, what: str) -> Object:
        try:
            return await self._client.get(path)
        except ApiException as error:
            if error.status == 404:
                raise UnresolvedReference(f"{what} not found") from error
            raise

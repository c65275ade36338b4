"""FineTuneJobs that come in a burst or at a rate, and pods that run as a kubelet would say."""

import asyncio
import contextlib
import itertools
import json
import ssl
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import yaml
from kubernetes.aio import client, config

from devcluster.cluster import Cluster
from finetune_api.v1alpha1 import GROUP, PLURAL, VERSION

Json = dict[str, Any]

EXAMPLE = Path(__file__).parent.parent / "examples" / "quickstart.yaml"
_AT_ONCE = 16
"""Connections that apply."""
_APART = "apart"
"""Namespace of jobs that come beside those of all others."""
_PATIENCE = 1800.0
_RUNS_SECONDS = 4.0
"""For so long each a pod waits, is created, and runs."""


PODS = "/api/v1/pods"
STRATEGIC = "application/strategic-merge-patch+json"


def pod_states() -> list[tuple[str, Json]]:
    """Phase and state of the container of a pod that is created, runs from now on, and succeeds."""
    started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    ended = {"exitCode": 0, "reason": "Completed", "startedAt": started, "finishedAt": started}
    return [
        ("Pending", {"waiting": {"reason": "ContainerCreating"}}),
        ("Running", {"running": {"startedAt": started}}),
        ("Succeeded", {"terminated": ended}),
    ]


def pod_status(phase: str, state: Json) -> Json:
    """A patch of a pod's status, as a kubelet sends it."""
    status = {"name": "trainer", "image": "", "imageID": "", "ready": False, "restartCount": 0, "state": state}
    conditions = [{"type": "PodScheduled", "status": "True"}]
    return {"status": {"phase": phase, "conditions": conditions, "containerStatuses": [status]}}


class Load:
    """Applies FineTuneJobs, and notes when each one's Job is there."""

    def __init__(self, cluster: Cluster, *, namespaces: int, bucket: bool) -> None:
        self._kubeconfig = str(cluster.kubeconfig)
        self.namespaces = [f"load-{number}" for number in range(namespaces)]
        self._numbers = itertools.count()
        self._example: Json = yaml.safe_load(EXAMPLE.read_text())
        self._example["spec"]["training"]["learningRate"] = 1e-4  # PyYAML takes it for a text.
        if bucket:
            self._example["spec"]["output"] = {"uri": "s3://models/quickstart"}
        self._arrived: dict[str, float] = {}
        self._more = asyncio.Event()

    async def __aenter__(self) -> Self:
        await config.load_kube_config(self._kubeconfig)  # type: ignore[no-untyped-call]
        settings = client.Configuration.get_default_copy()
        headers = {"Authorization": await settings.get_api_key_with_prefix("BearerToken")}
        trusted = ssl.create_default_context(cafile=settings.ssl_ca_cert)
        self._session = aiohttp.ClientSession(
            settings.host, headers=headers, connector=aiohttp.TCPConnector(ssl=trusted, limit=2 * _AT_ONCE)
        )
        for name in (*self.namespaces, _APART):
            await self.send("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        self._watch = asyncio.create_task(self._keep_watching())
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._watch.cancel()
        await asyncio.wait([self._watch])
        await self._session.close()

    async def burst(self, jobs: int) -> float:
        """As many jobs at once as the API server takes. Return the seconds until the last Job."""
        begun = time.perf_counter()
        names = [await each for each in asyncio.as_completed(await self._all_at_once(jobs))]
        await self._wait_for(names)
        return max(self._arrived[name] for name in names) - begun

    async def grow(self, jobs: int) -> list[str]:
        """As many jobs as the API server takes, one after the other on each connection. Return their names."""
        left = iter(range(jobs))
        names: list[str] = []

        async def one() -> None:
            names.extend([await self._apply() for _ in left])

        await asyncio.gather(*(one() for _ in range(_AT_ONCE)))
        return names

    async def have_jobs(self, names: list[str], seconds: float) -> int:
        """Wait until each of these has its Job, for so long at the most. Return how many have."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wait_for(names)
        return sum(name in self._arrived for name in names)

    async def count(self, path: str) -> int:
        """How many objects a collection has."""
        page = await self.send("GET", path, query={"limit": "1"})
        return len(page["items"]) + int(page["metadata"].get("remainingItemCount") or 0)

    async def paced(self, jobs: int, rate: float, *, apart: bool = False) -> list[float]:
        """So many a second, all the others' namespaces or `apart` from them in one of their own. Return the seconds of each from
        the apply to its Job."""
        begun = time.perf_counter()

        async def one(number: int) -> tuple[str, float]:
            await asyncio.sleep(max(0.0, begun + number / rate - time.perf_counter()))
            applied = time.perf_counter()
            return await self._apply(_APART if apart else None), applied

        made = await asyncio.gather(*(one(number) for number in range(jobs)))
        await self._wait_for([name for name, _ in made])
        return [self._arrived[name] - applied for name, applied in made]

    async def lives(self, jobs: int) -> None:
        """Jobs whose pods are created, run, and succeed, a few seconds each."""
        await asyncio.gather(*(self._live() for _ in range(jobs)))

    async def _live(self) -> None:
        name = await self._apply()
        await self._wait_for([name])
        space = name.split("/")[0]
        pods = f"/api/v1/namespaces/{space}/pods"
        selector = {"labelSelector": f"batch.kubernetes.io/job-name={name.split('/')[1]}"}
        found: list[Json] = []
        while not found:
            await asyncio.sleep(0.2)
            found = (await self.send("GET", pods, query=selector))["items"]
        path = f"{pods}/{found[0]['metadata']['name']}"
        for phase, state in pod_states():
            await asyncio.sleep(_RUNS_SECONDS)
            await self.send("PATCH", f"{path}/status", pod_status(phase, state), kind=STRATEGIC)
        job = f"/apis/{GROUP}/{VERSION}/namespaces/{space}/{PLURAL}/{name.split('/')[1]}"
        while (await self.send("GET", job)).get("status", {}).get("phase") != "Succeeded":
            await asyncio.sleep(0.5)

    async def _all_at_once(self, jobs: int) -> list[asyncio.Task[str]]:
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one() -> str:
            async with gate:
                return await self._apply()

        return [asyncio.create_task(one()) for _ in range(jobs)]

    async def _apply(self, space: str | None = None) -> str:
        number = next(self._numbers)
        space, name = space or self.namespaces[number % len(self.namespaces)], f"job-{number}"
        body = {**self._example, "metadata": {"name": name}}
        await self.send("POST", f"/apis/{GROUP}/{VERSION}/namespaces/{space}/{PLURAL}", body)
        return f"{space}/{name}"

    async def _wait_for(self, names: list[str]) -> None:
        async with asyncio.timeout(_PATIENCE):
            while any(name not in self._arrived for name in names):
                self._more.clear()
                await self._more.wait()

    async def _keep_watching(self) -> None:
        """An API server ends the watch of who reads too slowly. A new one begins with all that is there."""
        while True:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                await self._watch_jobs()

    async def _watch_jobs(self) -> None:
        path, timeout = "/apis/batch/v1/jobs", aiohttp.ClientTimeout(total=None)
        async with self._session.get(path, params={"watch": "true"}, timeout=timeout) as response:
            buffer = b""
            async for chunk in response.content.iter_any():
                *lines, buffer = (buffer + chunk).split(b"\n")
                for line in lines:
                    # Most lines are not read at all, so that the watch takes little of the machine that is measured.
                    if line.startswith(b'{"type":"ADDED"'):
                        metadata = json.loads(line)["object"]["metadata"]
                        name = f"{metadata['namespace']}/{metadata['name']}"
                        self._arrived.setdefault(name, time.perf_counter())
                        self._more.set()

    async def send(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        query: dict[str, str] | None = None,
        kind: str = "application/json",
    ) -> Json:
        """One request. Return the object that it answers with. Raises RuntimeError."""
        data, headers = json.dumps(body) if body is not None else None, {"Content-Type": kind}
        async with self._session.request(method, path, data=data, headers=headers, params=query) as response:
            answer: Json = await response.json()
            if response.status >= 300:
                raise RuntimeError(f"{method} {path}: {response.status} {answer.get('message')}")
            return answer

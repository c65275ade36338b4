"""Pods that report to the operator, each on a connection of its own and with a token that is bound to it, as often as it is asked to."""

import asyncio
import json
import ssl
import time
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
from fleet_load import STRATEGIC, Json, Load, pod_states, pod_status
from reports import report

from finetune_api.report import AUDIENCE
from finetune_operator.job.finetunejob import Key
from finetune_operator.job.names import AUTHORITY, LABEL_JOB_NAME
from finetune_operator.job.report import report_path

_AT_ONCE = 16
_POD_SECONDS = 120.0
"""Until the controllers have made the pods."""
_FIRST_SECONDS = 90.0
"""Until all have reported once: each one's token is reviewed then, so many a second."""
_PODS_OF_AN_ADDRESS = 100
"""As from a node: connections are bounded by address."""


class Reporters:
    """`known` are those that were heard; `times` and `failures` are of the reports since `measure`, in seconds each."""

    def __init__(self, load: Load, port: int, folder: Path) -> None:
        self._load = load
        self._url = f"https://127.0.0.1:{port}"
        self._folder = folder
        self._stack = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self.known: set[str] = set()
        self.times: list[float] = []
        self.failures = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stack.aclose()

    async def begin(self, pods: int) -> None:
        """Let the pods of so many jobs run, and report from then on. Return when all were heard once, or after a minute and a half."""
        [space] = self._load.namespaces
        trusted = await self._trusted(space)
        found = await self._pods(space, pods)
        gate = asyncio.Semaphore(_AT_ONCE)
        for number, pod in enumerate(found):
            self._tasks.append(asyncio.create_task(self._run(space, pod, number, trusted, gate)))
        end = time.perf_counter() + _FIRST_SECONDS
        while len(self.known) < len(found) and time.perf_counter() < end:
            await asyncio.sleep(0.2)

    def measure(self) -> float:
        """Begin to count. Return when that was."""
        self.times, self.failures = [], 0
        return time.perf_counter()

    async def _trusted(self, space: str) -> ssl.SSLContext:
        authority = await self._load.send("GET", f"/api/v1/namespaces/{space}/configmaps/{AUTHORITY}")
        return ssl.create_default_context(cadata=authority["data"]["ca.crt"])

    async def _pods(self, space: str, count: int) -> list[Json]:
        path, query = f"/api/v1/namespaces/{space}/pods", {"labelSelector": LABEL_JOB_NAME}
        end = time.perf_counter() + _POD_SECONDS
        while True:
            pods: list[Json] = (await self._load.send("GET", path, query=query))["items"]
            if len(pods) >= count or time.perf_counter() > end:
                return pods[:count]
            await asyncio.sleep(1)

    async def _run(self, space: str, pod: Json, number: int, trusted: ssl.SSLContext, gate: asyncio.Semaphore) -> None:
        name, job = pod["metadata"]["name"], pod["metadata"]["labels"][LABEL_JOB_NAME]
        async with gate:
            token = await self._begin_to_run(space, name)
        connector = aiohttp.TCPConnector(
            ssl=trusted, keepalive_timeout=120, local_addr=(f"127.0.0.{2 + number // _PODS_OF_AN_ADDRESS}", 0)
        )
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        session = await self._stack.enter_async_context(
            aiohttp.ClientSession(self._url, connector=connector, headers=headers)
        )
        sequence = 0
        while True:
            sequence += 1
            wait = await self._report(session, report_path(Key(space, job)), name, report(sequence))
            await asyncio.sleep(wait)

    async def _begin_to_run(self, space: str, name: str) -> str:
        """Write that the pod runs, and return its token."""
        path, running = f"/api/v1/namespaces/{space}/pods/{name}", pod_states()[1]
        await self._load.send("PATCH", f"{path}/status", pod_status(*running), kind=STRATEGIC)
        bound = {"apiVersion": "v1", "kind": "Pod", "name": name}
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": [AUDIENCE], "expirationSeconds": 3600, "boundObjectRef": bound},
        }
        answer = await self._load.send("POST", f"/api/v1/namespaces/{space}/serviceaccounts/default/token", body)
        return str(answer["status"]["token"])

    async def _report(self, session: aiohttp.ClientSession, path: str, pod: str, body: bytes) -> float:
        """Send one report. Return the seconds until the next one."""
        begun = time.perf_counter()
        try:
            async with session.post(path, data=body, timeout=aiohttp.ClientTimeout(total=10)) as response:
                answer: dict[str, Any] = json.loads(await response.read() or b"{}")
                if response.status == 200:
                    self.times.append(time.perf_counter() - begun)
                    self.known.add(pod)
                    return float(answer["nextReportSeconds"])
                wait = float(response.headers.get("Retry-After", 2))
        except (aiohttp.ClientError, TimeoutError):
            wait = 2.0
        self.failures += 1
        return wait

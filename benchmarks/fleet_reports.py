"""Pods that report to the operator, each on a connection of its own and with a token that is bound to it, as often as it is asked to."""

import asyncio
import contextlib
import json
import sys
import time
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from types import TracebackType
from typing import Self

from fleet_load import STRATEGIC, Json, Load, pod_states, pod_status

from finetune_api.report import AUDIENCE
from finetune_operator.job.finetunejob import Key
from finetune_operator.job.names import AUTHORITY, LABEL_JOB_NAME
from finetune_operator.job.report import report_path

_REPORTER = Path(__file__).with_name("fleet_reporter.py")
_AT_ONCE = 16
_POD_SECONDS = 120.0
"""Until the controllers have made the pods."""
_FIRST_SECONDS = 90.0
"""Until all have reported once: each one's token is reviewed then, so many a second."""


class Reporters:
    """`known` are those that were heard; `times` and `failures` are of the reports since `measure`, in seconds each."""

    def __init__(self, load: Load, port: int, folder: Path) -> None:
        self._load = load
        self._url = f"https://127.0.0.1:{port}"
        self._folder = folder
        self._process: Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self.known: set[str] = set()
        self.times: list[float] = []
        self.failures = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            await self._process.wait()
        if self._reading is not None:
            await self._reading

    async def begin(self, pods: int) -> None:
        """Let the pods of so many jobs run, and report from then on. Return when all were heard once, or after a minute and a half."""
        [space] = self._load.namespaces
        authority = self._folder / "ca.crt"
        read = await self._load.send("GET", f"/api/v1/namespaces/{space}/configmaps/{AUTHORITY}")
        authority.write_text(read["data"]["ca.crt"])
        found = await self._pods(space, pods)
        command = (sys.executable, str(_REPORTER), self._url, str(authority))
        self._process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
        self._reading = asyncio.create_task(self._read(self._process))
        gate = asyncio.Semaphore(_AT_ONCE)
        await asyncio.gather(*(self._begin_to_report(self._process, space, pod, gate) for pod in found))
        end = time.perf_counter() + _FIRST_SECONDS
        while len(self.known) < len(found) and time.perf_counter() < end:
            await asyncio.sleep(0.2)

    def measure(self) -> float:
        """Begin to count. Return when that was."""
        self.times, self.failures = [], 0
        return time.perf_counter()

    async def _read(self, process: Process) -> None:
        assert process.stdout is not None  # noqa: S101 - a pipe was asked for
        async for line in process.stdout:
            answer = json.loads(line)
            if answer["seconds"] is None:
                self.failures += 1
            else:
                self.times.append(answer["seconds"])
                self.known.add(answer["pod"])

    async def _pods(self, space: str, count: int) -> list[Json]:
        path, query = f"/api/v1/namespaces/{space}/pods", {"labelSelector": LABEL_JOB_NAME}
        end = time.perf_counter() + _POD_SECONDS
        while True:
            pods: list[Json] = (await self._load.send("GET", path, query=query))["items"]
            if len(pods) >= count or time.perf_counter() > end:
                return pods[:count]
            await asyncio.sleep(1)

    async def _begin_to_report(self, process: Process, space: str, pod: Json, gate: asyncio.Semaphore) -> None:
        name, job = pod["metadata"]["name"], pod["metadata"]["labels"][LABEL_JOB_NAME]
        async with gate:
            token = await self._begin_to_run(space, name)
        assert process.stdin is not None  # noqa: S101 - a pipe was asked for
        line = {"pod": name, "path": report_path(Key(space, job)), "token": token}
        process.stdin.write(json.dumps(line).encode() + b"\n")
        with contextlib.suppress(ConnectionError):
            await process.stdin.drain()

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

"""A running report endpoint, with a client that trusts it, and what pods send to it."""

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientResponse, ClientSession

from finetune_operator.job.finetunejob import Key
from finetune_operator.job.report import Received, report_path
from finetune_operator.reports.pod_owner import NotSeenYet
from finetune_operator.reports.serving import Server
from finetune_operator.reports.token_review import Caller
from finetune_operator.reports.troubles import Troubles

REPORT = {"report": {"sequence": 7, "stage": "Training", "progress": {"step": 140, "totalSteps": 375, "percent": 37}}}
JOB = Key("team-a", "yelp-stars")
TAKEN = {"nextReportSeconds": 2.0}
"""The answer to the first pod's report."""


class Pods:
    """Which pods there are, by namespace, name and uid, and what they train."""

    def __init__(self) -> None:
        self.jobs = {Caller("team-a", "train-abc", "uid-of-train-abc"): JOB}
        self.behind = False

    def find(self, caller: Caller) -> Key | None:
        if self.behind:
            raise NotSeenYet
        return self.jobs.get(caller)


@dataclass
class Endpoint:
    """A running server, and a client that trusts it."""

    server: Server
    session: ClientSession
    trust: ssl.SSLContext
    pods: Pods
    received: list[Received]
    refused: list[tuple[Key, str]]
    troubles: Troubles

    @property
    def root(self) -> str:
        return f"https://localhost:{self.server.port}"

    async def post(self, token: str, *, job: Key = JOB, **request: Any) -> tuple[int, Any]:
        if "data" not in request:
            request.setdefault("json", REPORT)
        headers = {"Authorization": f"Bearer {token}", **request.pop("headers", {})}
        return await answer(self.session.post(self.root + report_path(job), headers=headers, **request))

    async def send_raw(self, *parts: bytes) -> bytes:
        """What comes back until the server closes."""
        reader, writer = await asyncio.open_connection("localhost", self.server.port, ssl=self.trust)
        for part in parts:
            writer.write(part)
            await writer.drain()
        received = await reader.read()
        writer.close()
        return received


async def answer(request: Any) -> tuple[int, Any]:
    response: ClientResponse
    async with request as response:
        text = await response.text()
        return response.status, json.loads(text) if "json" in response.content_type else text


StartServer = Callable[..., Awaitable[Endpoint]]


def request_head(token: str, *lines: str, encoding: str = "ascii") -> bytes:
    head = [f"POST {report_path(JOB)} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {token}", *lines]
    return "\r\n".join([*head, "", ""]).encode(encoding, "surrogateescape")

"""Reports for many pods: `python fleet_reporter.py URL CA`, with a line of JSON for each pod on the standard input (`pod`, `path`, `token`).

A process of its own, so that what loads the control plane is not in the times. Each pod has a connection of its own, and reports as it is asked
to. Writes a line of JSON for each answer: `pod`, and `seconds` until the whole of it was there, or null if the report was not taken.
"""

import asyncio
import json
import ssl
import sys
import time
from typing import Any

import aiohttp
import uvloop
from reports import report

Json = dict[str, Any]

_PODS_OF_AN_ADDRESS = 100
"""As from a node: connections are bounded by address."""
_RETRY_SECONDS = 2.0


async def main(url: str, authority: str) -> None:
    """Begin for each pod as it is named, and report until the input ends."""
    trusted = ssl.create_default_context(cafile=authority)
    async with asyncio.TaskGroup() as group:
        tasks = list[asyncio.Task[None]]()
        # The input is a pipe, whose end is the end of whoever wanted the reports.
        while line := await asyncio.to_thread(sys.stdin.readline):
            tasks.append(group.create_task(_run(url, trusted, len(tasks), json.loads(line))))
        for task in tasks:
            task.cancel()


async def _run(url: str, trusted: ssl.SSLContext, number: int, pod: Json) -> None:
    address = f"127.0.0.{2 + number // _PODS_OF_AN_ADDRESS}"
    connector = aiohttp.TCPConnector(ssl=trusted, keepalive_timeout=120, local_addr=(address, 0))
    headers = {"Authorization": f"Bearer {pod['token']}", "Content-Type": "application/json"}
    async with aiohttp.ClientSession(url, connector=connector, headers=headers) as session:
        sequence = 0
        while True:
            sequence += 1
            taken, wait = await _report(session, pod["path"], report(sequence))
            print(json.dumps({"pod": pod["pod"], "seconds": taken}), flush=True)
            await asyncio.sleep(wait)


async def _report(session: aiohttp.ClientSession, path: str, body: bytes) -> tuple[float | None, float]:
    """Send one report. Return how long it took until it was taken, and the seconds until the next one."""
    begun = time.perf_counter()
    try:
        async with session.post(path, data=body, timeout=aiohttp.ClientTimeout(total=10)) as response:
            text = await response.read()
            took = time.perf_counter() - begun
            if response.status == 200:
                return took, float(json.loads(text)["nextReportSeconds"])
            return None, float(response.headers.get("Retry-After", _RETRY_SECONDS))
    except (aiohttp.ClientError, TimeoutError):
        return None, _RETRY_SECONDS


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))

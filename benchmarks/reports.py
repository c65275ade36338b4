"""`make bench-reports`: what a report costs, on connections that stay open and on new ones, and how old the numbers in status are.

The endpoint runs by itself, in a process of its own, with a stand-in for the API server's TokenReview; the trainer's own client reports to it. On a
control plane (KUBEBUILDER_ASSETS, or else the dev cluster) a fleet of pods without processes then reports as it is asked to. The machine
may have other work to do, so what counts are the ratios and the CPU seconds.
"""

import argparse
import asyncio
import base64
import contextlib
import json
import os
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import trustme
import uvloop
from aiohttp import web
from kubernetes.aio.client import ApiClient, Configuration

from finetune_operator.job.finetunejob import Key
from finetune_operator.job.report import Received, report_path
from finetune_operator.kube.rate_limit import RateLimit
from finetune_operator.reports.latest import LatestReports
from finetune_operator.reports.server import serve_reports
from finetune_operator.reports.troubles import Troubles
from finetune_trainer.progress.endpoint import Endpoint

Json = dict[str, Any]

HERE = Path(__file__)
NAMESPACE = "team-a"
_PODS = 48
_THREADS = 8
"""That report for them, so that these do not wait for each other more than for the endpoint."""


def main() -> int:
    """Print the figures. Returns 0."""
    arguments = _arguments()
    if arguments.serve:
        uvloop.run(serve(arguments.serve))
        return 0
    print(f"{os.cpu_count()} cores, load average {', '.join(f'{each:.1f}' for each in os.getloadavg())} before")
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as endpoint:
        print_endpoint(endpoint, arguments)
        print_connections(endpoint, arguments.connections)
    print(f"load average after: {', '.join(f'{each:.1f}' for each in os.getloadavg())}")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=100, help="reports a second")
    parser.add_argument(
        "--seconds", type=float, default=10, help="for so long at that rate, and as long without a limit"
    )
    parser.add_argument("--connections", type=int, default=3000, help="bare connections that are held open")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


# The endpoint by itself.


async def serve(folder: Path) -> None:
    """Serve reports of any pod until killed; write the port and what to trust to `folder`."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    kept: dict[str, LatestReports] = {}

    def take(received: Received) -> None:
        kept.setdefault(received.pod_uid, LatestReports()).take(received)

    async with ApiClient(Configuration(host=f"http://127.0.0.1:{await _serve_token_reviews()}")) as client:
        server = await serve_reports(
            client=client,
            find_job=lambda caller: Key(caller.namespace, caller.pod_name),
            on_report=take,
            on_refused=lambda key, why: None,
            context=context,
            host="127.0.0.1",
            port=0,
            troubles=Troubles(),
            per_second=80,
            interval=2,
            rate=RateLimit(per_second=1000, burst=1000),
        )
        authority.cert_pem.write_to_path(folder / "ca.crt")
        (folder / "port.new").write_text(str(server.port))
        (folder / "port.new").rename(folder / "port")
        await asyncio.Event().wait()


async def _serve_token_reviews() -> int:
    async def review(request: web.Request) -> web.Response:
        asked = await request.json()
        payload = asked["spec"]["token"].split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["kubernetes.io"]
        extra = {"pod-name": [claims["pod"]["name"]], "pod-uid": [claims["pod"]["uid"]]}
        user = {
            "username": f"system:serviceaccount:{claims['namespace']}:default",
            "extra": {f"authentication.kubernetes.io/{name}": value for name, value in extra.items()},
        }
        status = {"authenticated": True, "audiences": asked["spec"]["audiences"], "user": user}
        return web.json_response({**asked, "status": status}, status=201)

    app = web.Application()
    app.router.add_post("/apis/authentication.k8s.io/v1/tokenreviews", review)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return int(runner.addresses[0][1])


@dataclass
class Serving:
    """The endpoint that runs."""

    port: int
    folder: Path
    process: psutil.Process

    def sender(self, number: int) -> Endpoint:
        """The trainer's client in pod `number`."""
        pod = f"pod-{number}"
        claims = {"exp": 4_000_000_000, "kubernetes.io": {"namespace": NAMESPACE, "pod": {"name": pod, "uid": pod}}}
        token = self.folder / pod
        token.write_text(f"h.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.s")
        url = f"https://127.0.0.1:{self.port}{report_path(Key(NAMESPACE, pod))}"
        return Endpoint(url, self.folder / "ca.crt", token)

    @property
    def cpu(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)

    @property
    def memory(self) -> float:
        return float(self.process.memory_info().rss)


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Serving]:
    """The endpoint in a process of its own."""
    process = subprocess.Popen([sys.executable, str(HERE), "--serve", str(folder)])
    try:
        while not (folder / "port").exists():
            time.sleep(0.05)
        yield Serving(int((folder / "port").read_text()), folder, psutil.Process(process.pid))
    finally:
        process.kill()
        process.wait()


# What is measured.


@dataclass
class Figures:
    """Of reports that were sent one way."""

    seconds: list[float] = field(default_factory=list)
    """How long each took."""
    cpu: float = 0.0
    elapsed: float = 0.0
    failures: int = 0

    @property
    def rate(self) -> float:
        return len(self.seconds) / self.elapsed

    def quantile(self, percent: int) -> float:
        """In milliseconds."""
        return 1000 * statistics.quantiles(self.seconds, n=100)[percent - 1]


def report(sequence: int) -> bytes:
    """A report as it is in the middle of a training."""
    metrics = [{"name": f"eval_metric_{number}", "value": f"0.{number}"} for number in range(8)]
    rows = [{"step": step, "epoch": "1.0", "metrics": metrics} for step in range(10)]
    progress = {"step": sequence, "totalSteps": 10**6, "epoch": "1.12", "percent": 37, "etaSeconds": 312}
    body = {"sequence": sequence, "stage": "Training", "progress": progress, "metrics": metrics, "evaluations": rows}
    return json.dumps({"report": body}).encode()


def send(endpoint: Serving, *, keep: bool, rate: float | None, seconds: float) -> Figures:
    """Reports of many pods, on connections that stay open or on new ones; at a rate or as fast as it goes."""
    figures, lock = Figures(), threading.Lock()
    begun, cpu = time.perf_counter(), endpoint.cpu
    times: list[list[float]] = [[] for _ in range(_THREADS)]

    def work(place: int) -> None:
        senders = [endpoint.sender(number) for number in range(place, _PODS, _THREADS)]
        own = times[place]
        while (due := _due(begun, place, len(own), rate)) < begun + seconds:
            time.sleep(max(0.0, due - time.perf_counter()))
            started = time.perf_counter()
            if started > begun + seconds:
                break
            sender = senders[len(own) % len(senders)]
            try:
                sender.post(report(len(own)), 5)
            except OSError:
                with lock:
                    figures.failures += 1
            own.append(time.perf_counter() - started)
            if not keep:
                sender.close()
        for sender in senders:
            sender.close()

    threads = [threading.Thread(target=work, args=(place,)) for place in range(_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    figures.elapsed, figures.cpu = time.perf_counter() - begun, endpoint.cpu - cpu
    figures.seconds = [each for of_one in times for each in of_one]
    return figures


def _due(begun: float, place: int, number: int, rate: float | None) -> float:
    return begun if rate is None else begun + (number * _THREADS + place) / rate


# What is printed.


def print_endpoint(endpoint: Serving, arguments: argparse.Namespace) -> None:
    """Reports at a rate, and as fast as they go: on new connections, on kept ones, and the ratio."""
    send(endpoint, keep=True, rate=arguments.rate, seconds=2)  # Tokens are reviewed, and memory is taken.
    print(f"\n{'reports of 48 pods':44} {'new':>10} {'kept':>10}  kept/new")
    for rate in (arguments.rate, None):
        new, kept = (send(endpoint, keep=keep, rate=rate, seconds=arguments.seconds) for keep in (False, True))
        at = f"at {rate:g} a second" if rate else "as fast as they go"
        lines = [
            (f"{at}: reports a second", new.rate, kept.rate),
            (f"{at}: p50, ms", new.quantile(50), kept.quantile(50)),
            (f"{at}: p99, ms", new.quantile(99), kept.quantile(99)),
            (f"{at}: CPU of the endpoint a report, ms", *(1000 * each.cpu / len(each.seconds) for each in (new, kept))),
        ]
        for name, theirs, ours in lines:
            print(f"{name:44} {theirs:10.2f} {ours:10.2f} {ours / theirs:9.2f}")
        if new.failures or kept.failures:
            print(f"{at}: failures {new.failures} and {kept.failures}")


def print_connections(endpoint: Serving, connections: int) -> None:
    """What connections cost that are held open: bare ones, and ones with TLS on which a report came."""
    before = endpoint.memory
    with contextlib.ExitStack() as held:
        for _ in range(connections):
            held.enter_context(socket.create_connection(("127.0.0.1", endpoint.port)))
        started = time.perf_counter()
        endpoint.sender(0).post(report(1), 5)
        answered = time.perf_counter() - started
        bare = endpoint.memory - before
    senders = [endpoint.sender(number) for number in range(500)]
    before = endpoint.memory
    for sender in senders:
        sender.post(report(1), 5)
    kept = endpoint.memory - before
    for sender in senders:
        sender.close()
    print(f"\n{connections:,} bare connections: {bare / 2**20:.1f} MiB; a report then takes {1000 * answered:.0f} ms")
    print(f"a kept connection, with the report that came on it: {kept / len(senders) / 1024:.0f} KiB")


if __name__ == "__main__":
    sys.exit(main())

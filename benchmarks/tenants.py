"""`make bench-tenants`: what one tenant's blocked jobs cost another, and what an object costs the operator in memory.

Everything is measured twice, side by side in the same run: alone and beside the others, as JSON and in the caches. The figures
are ratios, since the machine may have other work to do.
"""

import argparse
import asyncio
import contextlib
import gc
import itertools
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import yaml
from fleet_process import install_definitions
from kubernetes import client, config

from devcluster import cluster as dev_cluster
from devcluster import envtest
from devcluster.cluster import Cluster
from finetune_api.v1alpha1 import GROUP, PLURAL, VERSION
from finetune_api.well_known import LABEL_JOB_UID
from finetune_operator.controller.cache import FineTuneJobs, keep
from finetune_operator.job.finetunejob import parse_finetunejob
from finetune_operator.job.parse_children import trim_job, trim_pod
from finetune_operator.job.pod_defaults import PodDefaults
from finetune_operator.kube.bounded_json import read_list
from finetune_operator.kube.client import FINETUNEJOBS, PODS, Kind
from finetune_operator.kube.packed import pack
from finetune_operator.manifests import build_children

Json = dict[str, Any]

ROOT = Path(__file__).parent.parent
SAMPLES = 20
OBJECTS = 1000
HOSTILE = 20
_PATIENCE = 300.0


def main() -> int:
    """Print the figures. Returns 0."""
    arguments = _arguments()
    logging.disable(logging.WARNING)  # What is left out of hostile objects is no news here.
    print("bytes of one object, and its JSON's")
    print_memory()
    print("\npeak while 20 objects that merely have our label are listed")
    print_hostile()
    with tempfile.TemporaryDirectory() as folder, running_cluster(Path(folder)) as (cluster, kind):
        print(f"\n{arguments.jobs:,} jobs of one namespace that a quota refuses, {kind}")
        with operator(cluster, Path(folder)) as process:
            print_waits(Tenants(cluster), arguments.jobs, process)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1000, help="blocked jobs of the other namespace")
    return parser.parse_args()


# What one object costs.


def example(number: int) -> Json:
    """A FineTuneJob as users write it, with a status as it is after an hour of training."""
    raw: Json = yaml.safe_load((ROOT / "examples" / "quickstart.yaml").read_text())
    raw["spec"]["training"]["learningRate"] = 2e-5  # PyYAML takes it for a text.
    uid = f"0f9be1d4-56ac-4d0f-9a3e-{number:012}"
    stamp = "2026-11-20T12:00:00Z"
    raw["metadata"] |= {"namespace": "team-a", "name": f"yelp-{number}", "uid": uid, "resourceVersion": str(number)}
    raw["metadata"] |= {"generation": 1, "creationTimestamp": stamp}
    applied = json.dumps(raw)
    raw["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": applied}
    metrics = [{"name": f"eval_metric_{each}", "value": f"0.{number}{each}"} for each in range(8)]
    raw["status"] = {
        "phase": "Running",
        "message": f"epoch 1.1 of 3, loss 1.{number}",
        "conditions": [
            {"type": kind, "status": "False", "reason": "Training", "message": "", "lastTransitionTime": stamp}
            for kind in ("Running", "Suspended", "Complete", "Failed", "Ready", "Reconciling", "Stalled")
        ],
        "evaluations": [{"step": step, "epoch": "1.0", "metrics": metrics} for step in range(20)],
        "checkpoints": [
            {
                "step": step,
                "uri": f"s3://models/{uid}/checkpoints/step-{step:06}",
                "sizeBytes": 2**30,
                "metrics": metrics,
            }
            for step in range(4)
        ],
        "attempts": [{"number": 1, "pod": f"yelp-{number}-abcde", "node": "n1", "startTime": stamp}],
    }
    return raw


def example_job(number: int) -> Json:
    """The Job of `example`, as the API server has it."""
    finetunejob = parse_finetunejob(example(number))
    if finetunejob.spec is None:
        raise ValueError(finetunejob.problems)
    raw = build_children(finetunejob, finetunejob.spec, PodDefaults("trainer:1", "https://operator", "PEM")).job
    raw["metadata"] |= {"uid": f"job-{number:032}", "resourceVersion": str(number)}
    return {**raw, "status": {"active": 1, "ready": 1, "startTime": "2026-11-20T12:00:00Z"}}


def example_pod(number: int) -> Json:
    """The pod of `example`, as the API server has it."""
    job = example_job(number)
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job["metadata"]["name"], "uid": job["metadata"]["uid"]}
    template = job["spec"]["template"]
    metadata = {**template["metadata"], "namespace": "team-a", "name": f"yelp-{number}-abcde"}
    metadata |= {
        "uid": f"pod-{number:032}",
        "resourceVersion": str(number),
        "ownerReferences": [{**owner, "controller": True}],
    }
    conditions = [
        {"type": kind, "status": "True"} for kind in ("Initialized", "Ready", "ContainersReady", "PodScheduled")
    ]
    state = {"running": {"startedAt": "2026-11-20T12:00:00Z"}}
    status = {"phase": "Running", "conditions": conditions, "containerStatuses": [{"name": "trainer", "state": state}]}
    return {"metadata": metadata, "spec": {**template["spec"], "nodeName": "n1"}, "status": status}


def print_memory() -> None:
    """What an object takes in the caches, beside its JSON and the dicts that Python makes of it."""

    def finetunejobs(texts: list[str]) -> object:
        known = FineTuneJobs(lambda _: None)
        for text in texts:
            known.update(json.loads(text))
        return known

    kinds: list[tuple[str, Callable[[int], Json], Callable[[list[str]], object]]] = [
        ("FineTuneJob", example, finetunejobs),
        ("Job", example_job, lambda texts: [pack(trim_job(json.loads(text)), LABEL_JOB_UID) for text in texts]),
        ("pod", example_pod, lambda texts: [pack(trim_pod(json.loads(text)), LABEL_JOB_UID) for text in texts]),
    ]
    print(f"{'':12} {'JSON':>8} {'as dicts':>9} {'cached':>7}  dicts/cached")
    for name, make, cached in kinds:
        texts = [json.dumps(make(number)) for number in range(OBJECTS)]
        size = sum(map(len, texts)) / OBJECTS
        dicts = taken_by(lambda texts=texts: [json.loads(text) for text in texts]) / OBJECTS
        kept = taken_by(lambda cached=cached, texts=texts: cached(texts)) / OBJECTS
        print(f"{name:12} {size:8,.0f} {dicts:9,.0f} {kept:7,.0f}  {dicts / kept:12.1f}")


def taken_by(make: Callable[[], object]) -> float:
    """Bytes that what `make` returns takes."""
    gc.collect()
    tracemalloc.start()
    made = make()
    gc.collect()
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del made
    return taken


def print_hostile() -> None:
    """The peak while a list is read of which each object is about as large as etcd takes it."""
    tolerations = [{"key": f"k{number}", "operator": "Exists"} for number in range(26_000)]
    pods = [{**example_pod(number), "spec": {"tolerations": tolerations}} for number in range(HOSTILE)]
    jobs = [{**example(number), "spec": {"tolerations": tolerations}} for number in range(HOSTILE)]
    print(f"{'':12} {'JSON':>8} {'parsed whole':>13} {'as it comes in':>15}  whole/as it comes in")
    kinds: list[tuple[str, list[Json], Kind, Callable[[Json], Json | None]]] = [
        ("pods", pods, PODS, lambda raw: pack(trim_pod(raw), LABEL_JOB_UID)),
        ("FineTuneJobs", jobs, FINETUNEJOBS, keep),
    ]
    for name, objects, kind, read in kinds:
        text = json.dumps({"metadata": {"resourceVersion": "1"}, "items": objects}).encode()
        whole = peak_of(lambda text=text: json.loads(text))
        parts = peak_of(lambda text=text, kind=kind, read=read: asyncio.run(_read(text, kind, read)))
        mib = [size / 2**20 for size in (len(text), whole, parts)]
        print(f"{name:12} {mib[0]:4.0f} MiB {mib[1]:9.0f} MiB {mib[2]:11.1f} MiB  {whole / parts:20.1f}")


async def _read(text: bytes, kind: Kind, read: Callable[[Json], Json | None]) -> Json:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(text), 2**16):
            yield text[start : start + 2**16]

    return await read_list(chunks(), kind.longest, read)


def peak_of(run: Callable[[], object]) -> float:
    """The most bytes that were taken at a time."""
    gc.collect()
    tracemalloc.start()
    run()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


# What the jobs of one namespace cost those of another.


@contextlib.contextmanager
def running_cluster(folder: Path) -> Iterator[tuple[Cluster, str]]:
    """A real control plane where KUBEBUILDER_ASSETS names one, or else the dev cluster, which knows no quotas."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets is None:
        sys.exit("\nKUBEBUILDER_ASSETS=FOLDER (etcd, kube-apiserver, kube-controller-manager) is needed for the rest")
    with envtest.start(Path(assets), folder / "cluster", dev_cluster.Options(gpus=0)) as cluster:
        yield cluster, "on a real control plane"


def kubectl(cluster: Cluster, *arguments: str) -> str:
    """What kubectl prints."""
    command = [str(Path(sys.executable).with_name("kubectl")), f"--kubeconfig={cluster.kubeconfig}", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@contextlib.contextmanager
def operator(cluster: Cluster, folder: Path) -> Iterator[psutil.Process]:
    """The operator with its default settings, in a process of its own."""
    install_definitions(cluster)
    settings = {"HEALTH_PORT": "0", "METRICS_PORT": "0", "REPORTS_PORT": "0", "LOG_FORMAT": "text"}
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "KUBECONFIG": str(cluster.kubeconfig)}
    environment |= {f"FINETUNE_OPERATOR_{name}": value for name, value in settings.items()}
    with (folder / "operator.log").open("wb") as log:
        command = [sys.executable, "-m", "finetune_operator"]
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


class Tenants:
    """Two namespaces, `quiet` and `crowd`; the quota of the latter allows no Job."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._client = config.new_client_from_config(str(cluster.kubeconfig))
        self._objects = client.CustomObjectsApi(self._client)
        self._jobs = client.BatchV1Api(self._client)
        self._core = client.CoreV1Api(self._client)
        self._numbers = itertools.count()
        for name in ("quiet", "crowd"):
            self._core.create_namespace({"metadata": {"name": name}})
        hard = {"count/jobs.batch": "0"}
        self._core.create_namespaced_resource_quota("crowd", {"metadata": {"name": "none"}, "spec": {"hard": hard}})

    def submit(self, namespace: str) -> str:
        """Make a job, suspended, so that none of its pods runs here. Return its name."""
        raw = example(next(self._numbers))
        body = {**raw, "metadata": {"name": raw["metadata"]["name"]}, "spec": {**raw["spec"], "suspend": True}}
        del body["status"]
        self._objects.create_namespaced_custom_object(GROUP, VERSION, namespace, PLURAL, body)
        return str(raw["metadata"]["name"])

    def wait_of_one(self) -> float:
        """Seconds from a quiet job to its Job."""
        begun = time.perf_counter()
        name = self.submit("quiet")
        while time.perf_counter() - begun < _PATIENCE:
            try:
                self._jobs.read_namespaced_job(name, "quiet")
            except client.ApiException:
                time.sleep(0.005)
                continue
            return time.perf_counter() - begun
        sys.exit(f"no Job for {name} in {_PATIENCE:g} s")

    def waits(self) -> list[float]:
        """Of one after the other."""
        return [self.wait_of_one() for _ in range(SAMPLES)]

    def flood(self, jobs: int) -> None:
        """Make so many that are refused."""
        with ThreadPoolExecutor(4) as pool:
            for made in [pool.submit(self.submit, "crowd") for _ in range(jobs)]:
                made.result()

    def refused(self) -> float:
        """Jobs that the API server has refused so far."""
        text = kubectl(self._cluster, "get", "--raw", "/metrics")
        wanted = [line for line in text.splitlines() if line.startswith("apiserver_request_total{")]
        wanted = [
            line for line in wanted if 'code="403"' in line and 'resource="jobs"' in line and 'verb="POST"' in line
        ]
        return sum(float(line.rpartition(" ")[2]) for line in wanted)


def print_waits(tenants: Tenants, jobs: int, process: psutil.Process) -> None:
    """How long a job waits for its Job alone, while the others' come in, and once they have come."""
    tenants.wait_of_one()
    tenants.waits()
    alone, before = tenants.waits(), process.memory_info().rss
    with ThreadPoolExecutor(1) as pool:
        flood = pool.submit(tenants.flood, jobs)
        coming = tenants.waits()
        flood.result()
    beside = tenants.waits()
    size = process.memory_info().rss - before
    seconds, refused = time.perf_counter(), tenants.refused()
    time.sleep(30)
    rate = (tenants.refused() - refused) / (time.perf_counter() - seconds)
    print(f"{'a job of the other namespace gets its Job after':50} {'median':>8} {'longest':>8}  to alone")
    for name, waits in (("alone", alone), ("while the others come", coming), ("beside them", beside)):
        ratio = statistics.median(waits) / statistics.median(alone)
        print(f"{name:50} {statistics.median(waits):6.2f} s {max(waits):6.2f} s  {ratio:8.1f}")
    print(f"tries that the quota refused: {refused:,.0f}, then {rate:.1f} a second")
    print(f"the operator has grown by {size / 2**20:.0f} MiB, {size / jobs / 2**10:.1f} KiB for each of them")


if __name__ == "__main__":
    sys.exit(main())

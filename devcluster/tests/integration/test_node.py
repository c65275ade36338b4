"""What a pod finds on the node, and what the cluster says of it, as kubectl shows it."""

import json
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from devcluster.testing.api import PATIENCE, wait_for
from devcluster.testing.plugin import Kubectl


class Pods:
    """Pods of one namespace by kubectl."""

    def __init__(self, kubectl: Kubectl, namespace: str) -> None:
        self.kubectl, self.namespace = kubectl, namespace

    def apply(self, *objects: dict[str, Any]) -> None:
        documents = "\n---\n".join(json.dumps(obj) for obj in objects)
        self.kubectl("apply", "-n", self.namespace, "-f", "-", stdin=documents)

    def get(self, resource: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.kubectl("get", resource, "-n", self.namespace, "-o", "json").stdout)
        return found

    def until(self, resource: str, reached: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """The resource once it is as wanted."""
        return wait_for(lambda: self.get(resource), reached, resource)

    def finished(self, name: str) -> dict[str, Any]:
        return self.until(f"pod/{name}", lambda pod: pod["status"].get("phase") in ("Succeeded", "Failed"))

    def running(self, name: str) -> dict[str, Any]:
        return self.until(f"pod/{name}", lambda pod: pod["status"].get("phase") == "Running")

    def logs(self, name: str, *options: str) -> str:
        return self.kubectl("logs", name, "-n", self.namespace, *options).stdout


@pytest.fixture
def pods(kubectl: Kubectl, namespace: str) -> Pods:
    return Pods(kubectl, namespace)


def pod(name: str, *command: str, **changes: Any) -> dict[str, Any]:
    """A pod of one container; changes to the container and, as `pod`, to the pod's spec."""
    spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 5, **changes.pop("pod", {})}
    container = {"name": "main", "image": "example/any:1", "command": list(command), **changes}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"automountServiceAccountToken": False, **spec, "containers": [container]},
    }


def state_of(pod: dict[str, Any], index: int = 0) -> dict[str, Any]:
    state: dict[str, Any] = pod["status"]["containerStatuses"][index]["state"]
    return state


def conditions_of(pod: dict[str, Any]) -> dict[str, str]:
    return {condition["type"]: condition["status"] for condition in pod["status"]["conditions"]}


def process_of(marker: str) -> psutil.Process:
    """The process whose command line holds `marker`."""

    def find() -> psutil.Process | None:
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if marker in process.cmdline():
                    return process
        return None

    found = wait_for(find, bool, f"a process with {marker}")
    assert found
    return found


def test_a_pod_reads_its_volumes_and_leaves_its_word(pods: Pods) -> None:
    script = (
        "import os, pathlib;"
        "read = lambda path: pathlib.Path(path).read_text();"
        "print(read('/etc/run/run.yaml'), read(os.environ['PREPARED']).strip(), read('/secret/key'), os.environ['WHO']);"
        "print(read('/info/app'), read('/token/token').count('.'));"
        "pathlib.Path('/dev/termination-log').write_text('all is said')"
    )
    volumes = [
        {"name": "run", "configMap": {"name": "settings", "items": [{"key": "run", "path": "run.yaml"}]}},
        {"name": "work", "emptyDir": {}},
        {"name": "secret", "secret": {"secretName": "keys"}},
        {
            "name": "info",
            "downwardAPI": {"items": [{"path": "app", "fieldRef": {"fieldPath": "metadata.labels['app']"}}]},
        },
        {"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "token", "audience": "x"}}]}},
    ]
    mounts = {"run": "/etc/run", "work": "/scratch", "secret": "/secret", "info": "/info", "token": "/token"}
    work = [{"name": "work", "mountPath": "/scratch"}]
    first = {"name": "first", "image": "any", "command": ["sh", "-c", "echo ready > /scratch/prepared"]}

    pods.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"run": "epochs: 3"}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": {"key": "s3cret"}},
        pod(
            "reader",
            "python",
            "-c",
            script,
            env=[
                {"name": "WHO", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "PREPARED", "value": "/scratch/prepared"},
            ],
            volumeMounts=[{"name": name, "mountPath": path} for name, path in mounts.items()],
            pod={"volumes": volumes, "initContainers": [{**first, "volumeMounts": work}]},
        ),
    )
    done = pods.finished("reader")

    assert pods.logs("reader") == "epochs: 3 ready s3cret reader\nreader 2\n"
    assert done["status"]["phase"] == "Succeeded"
    ended = state_of(done)["terminated"]
    assert (ended["exitCode"], ended["reason"], ended["message"]) == (0, "Completed", "all is said")
    assert conditions_of(done) == {
        "PodReadyToStartContainers": "False",
        "Initialized": "True",
        "Ready": "False",
        "ContainersReady": "False",
        "PodScheduled": "True",
    }


def test_a_claim_outlives_the_pods_that_use_it(pods: Pods) -> None:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "out"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    mounted: dict[str, Any] = {
        "volumeMounts": [{"name": "out", "mountPath": "/out"}],
        "pod": {"volumes": [{"name": "out", "persistentVolumeClaim": {"claimName": "out"}}]},
    }

    pods.apply(claim, pod("writer", "sh", "-c", "echo kept > /out/file", **mounted))
    pods.finished("writer")
    pods.kubectl("delete", "pod", "writer", "-n", pods.namespace)
    pods.apply(pod("reader", "cat", "/out/file", **mounted))
    pods.finished("reader")

    bound = pods.get("pvc/out")
    volume = bound["spec"]["volumeName"]
    assert pods.logs("reader") == "kept\n"
    assert bound["status"] == {"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}}

    folder = pods.get(f"pv/{volume}")["spec"]["hostPath"]["path"]
    pods.kubectl("delete", "pod,pvc", "--all", "-n", pods.namespace)
    pods.kubectl("wait", "--for=delete", f"pv/{volume}", f"--timeout={PATIENCE:g}s")
    assert not Path(folder).exists()


def test_a_failure_is_reported_with_its_exit_code_and_the_end_of_the_log(pods: Pods) -> None:
    pods.apply(
        pod("broken", "sh", "-c", "echo no such column; exit 7", terminationMessagePolicy="FallbackToLogsOnError"),
        pod("missing", "no-such-program"),
    )
    broken, missing = pods.finished("broken"), pods.finished("missing")

    ended, unstarted = state_of(broken)["terminated"], state_of(missing)["terminated"]
    assert (broken["status"]["phase"], missing["status"]["phase"]) == ("Failed", "Failed")
    assert (ended["exitCode"], ended["reason"], ended["message"]) == (7, "Error", "no such column\n")
    assert (unstarted["exitCode"], unstarted["reason"]) == (128, "StartError")
    assert unstarted["startedAt"] == "1970-01-01T00:00:00Z"  # as of kubelet: it has not begun
    assert "executable file not found in $PATH" in unstarted["message"]


def test_a_process_that_is_killed_has_crashed(pods: Pods) -> None:
    marker = f"crash-{pods.namespace}"
    pods.apply(pod("victim", "python", "-c", "import time; time.sleep(600)", marker))

    process_of(marker).send_signal(signal.SIGKILL)

    ended = state_of(pods.finished("victim"))["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (137, "Error")


def test_a_container_that_fails_is_started_again(pods: Pods) -> None:
    script = "test -e /keep/seen && sleep 600; touch /keep/seen; exit 1"
    volume = {"volumes": [{"name": "keep", "emptyDir": {}}], "restartPolicy": "OnFailure"}
    pods.apply(pod("again", "sh", "-c", script, volumeMounts=[{"name": "keep", "mountPath": "/keep"}], pod=volume))

    restarted = pods.until(
        "pod/again", lambda pod: (pod["status"].get("containerStatuses") or [{}])[0].get("restartCount") == 1
    )

    status = pods.until("pod/again", lambda pod: "running" in state_of(pod))["status"]["containerStatuses"][0]
    assert restarted["status"]["phase"] == "Running"
    assert (status["ready"], status["lastState"]["terminated"]["exitCode"]) == (True, 1)


def test_deletion_asks_first_and_leaves_nothing_behind(pods: Pods) -> None:
    marker = f"polite-{pods.namespace}"
    script = (
        "import pathlib, signal, subprocess, sys, time;"
        "child = subprocess.Popen(['sleep', '600'], start_new_session=True);"
        "stop = lambda *_: (print('asked to stop', flush=True), sys.exit(143));"
        "signal.signal(signal.SIGTERM, stop);"
        "print('child', child.pid, flush=True);"
        "time.sleep(600)"
    )
    pods.apply(pod("polite", "python", "-c", script, marker))
    pods.running("polite")
    process = process_of(marker)
    pods.until("pod/polite", lambda _: "child" in pods.logs("polite"))
    child = int(pods.logs("polite").split()[1])
    follower = subprocess.Popen(
        [*pods.kubectl("version", "--client").args[:2], "logs", "-f", "polite", "-n", pods.namespace],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert follower.stdout is not None
    # On a machine with much to do kubectl begins to follow long after it was started.
    followed = follower.stdout.readline()

    pods.kubectl("delete", "pod", "polite", "-n", pods.namespace)

    output, _ = follower.communicate(timeout=PATIENCE)
    assert [followed.rstrip(), *output.splitlines()] == [f"child {child}", "asked to stop"]
    assert not process.is_running()
    with suppress(psutil.NoSuchProcess):
        assert psutil.Process(child).status() == psutil.STATUS_ZOMBIE


def test_a_process_that_will_not_stop_is_killed_after_its_grace_period(pods: Pods) -> None:
    marker = f"deaf-{pods.namespace}"
    pods.apply(
        pod(
            "deaf",
            "python",
            "-c",
            "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); time.sleep(600)",
            marker,
            pod={"terminationGracePeriodSeconds": 1},
        )
    )
    pods.running("deaf")
    pods.until("pod/deaf", lambda _: pods.logs("deaf") == "on\n")
    process = process_of(marker)

    pods.kubectl("delete", "pod", "deaf", "-n", pods.namespace)

    assert not process.is_running()


def test_a_pod_past_its_deadline_fails(pods: Pods) -> None:
    pods.apply(pod("late", "sleep", "600", pod={"activeDeadlineSeconds": 1}))

    late = pods.finished("late")

    assert (late["status"]["phase"], late["status"]["reason"]) == ("Failed", "DeadlineExceeded")


def test_a_missing_image_and_a_missing_config_map_keep_a_pod_waiting(pods: Pods) -> None:
    later = {"configMapKeyRef": {"name": "later", "key": "k"}}
    pods.apply(
        pod("imageless", "true", image="example/trainer:does-not-exist"),
        pod("unsettled", "true", env=[{"name": "LATER", "valueFrom": later}]),
    )

    imageless = pods.until("pod/imageless", lambda pod: "ImagePullBackOff" in json.dumps(pod["status"]))
    unsettled = pods.until("pod/unsettled", lambda pod: "CreateContainerConfigError" in json.dumps(pod["status"]))
    pods.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "later"}, "data": {"k": "v"}})

    assert (imageless["status"]["phase"], unsettled["status"]["phase"]) == ("Pending", "Pending")
    assert state_of(unsettled)["waiting"]["message"] == 'configmap "later" not found'
    assert pods.finished("unsettled")["status"]["phase"] == "Succeeded"


def test_a_pod_waits_for_room_and_then_runs(pods: Pods) -> None:
    def greedy(name: str, gpus: int) -> dict[str, Any]:
        return pod(name, "sleep", "600", resources={"limits": {"nvidia.com/gpu": gpus}})

    pods.apply(greedy("first", 2))
    pods.running("first")
    pods.apply(greedy("second", 1))
    waiting = pods.until("pod/second", lambda pod: pod["status"].get("conditions"))
    pods.kubectl("delete", "pod", "first", "-n", pods.namespace)
    pods.running("second")

    condition = waiting["status"]["conditions"][0]
    assert (waiting["status"]["phase"], condition["status"], condition["reason"], condition["message"]) == (
        "Pending",
        "False",
        "Unschedulable",
        "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.",
    )


def test_a_mounted_config_map_follows_its_changes(pods: Pods) -> None:
    def settings(level: str) -> dict[str, Any]:
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "s"}, "data": {"level": level}}

    script = "until grep -q info /s/level; do sleep 0.1; done; echo seen"
    mounted: dict[str, Any] = {
        "volumeMounts": [{"name": "s", "mountPath": "/s"}],
        "pod": {"volumes": [{"name": "s", "configMap": {"name": "s"}}]},
    }
    pods.apply(settings("debug"), pod("follower", "sh", "-c", script, **mounted))
    pods.running("follower")

    pods.apply(settings("info"))

    pods.finished("follower")
    assert pods.logs("follower") == "seen\n"


def test_logs_can_be_cut_and_those_before_a_restart_be_read(pods: Pods) -> None:
    script = "test -e /keep/seen && echo second && sleep 600; touch /keep/seen; seq 1 100; exit 1"
    volume = {"volumes": [{"name": "keep", "emptyDir": {}}], "restartPolicy": "OnFailure"}
    pods.apply(pod("talker", "sh", "-c", script, volumeMounts=[{"name": "keep", "mountPath": "/keep"}], pod=volume))
    pods.until("pod/talker", lambda pod: (pod["status"].get("containerStatuses") or [{}])[0].get("restartCount"))
    pods.until("pod/talker", lambda pod: "running" in state_of(pod) and pods.logs("talker"))

    assert pods.logs("talker") == "second\n"
    assert pods.logs("talker", "--previous", "--tail=2") == "99\n100\n"
    assert pods.logs("talker", "--previous", "--limit-bytes=4") == "1\n2\n"

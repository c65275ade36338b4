"""The real program `finetune` against a cluster: a job from its manifest to its end, and users who may do little."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.integration.fixtures import OperatorProcess, StandIn, finetunejob
from tests.integration.space import Space

from devcluster.testing.api import PATIENCE, wait_for
from finetune import Client, NotFound
from finetune.reader_pod import reader_pod
from finetune.snapshot import read_snapshot

ON_JOBS = ["create", "get", "list", "watch", "patch", "delete"]


class Program:
    """`finetune` as one user."""

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        self._command = [sys.executable, "-m", "finetune_cli"]
        self._options = ["--kubeconfig", str(kubeconfig), "--namespace", namespace]

    def __call__(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        command = [*self._command, *arguments, *self._options]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=PATIENCE, check=False)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [*self._command, *arguments, *self._options]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def program(space: Space) -> Program:
    """As the administrator."""
    return Program(space.cluster.kubeconfig, space.namespace)


@pytest.mark.slow
@pytest.mark.usefixtures("operator_process")
def test_a_job_is_submitted_and_followed_and_its_log_is_whole(
    space: Space, program: Program, stand_in: StandIn
) -> None:
    training = {"epochs": 1, "batchSize": 8, "learningRate": 0.01}
    manifest = json.dumps(finetunejob("followed", training=training, pod=stand_in()))

    followed = program("submit", "-", "--follow", stdin=manifest)

    assert followed.returncode == 0, followed.stderr
    lines = followed.stdout.splitlines()
    assert lines[0] == f"followed is submitted to namespace {space.namespace}"
    assert lines[-1].startswith("followed  Succeeded")
    assert any("100 %" in line for line in lines)
    log = program("logs", "followed", "-o", "json")
    pod = space.status("followed")["attempts"][0]["pod"]
    written = [each["text"] for each in map(json.loads, log.stdout.splitlines()) if each["pod"] == pod]
    assert written == [line.rstrip("\n") for line in space.kubectl("logs", pod, "-c", "trainer").splitlines()]
    assert "accuracy" in program("get").stdout
    assert program("cancel", "followed").returncode == 0
    assert space.get("ftj", "followed") == {}


@pytest.mark.slow
@pytest.mark.usefixtures("operator_process")
def test_a_mistake_is_explained_and_exits_as_failed(space: Space, program: Program) -> None:
    dataset = {"source": "pvc://seed/data", "train": {"split": "train"}, "columns": {"label": "nothing"}}
    job = finetunejob("mistake", dataset=dataset, evaluation={})

    waited = program("submit", "-", "--wait", stdin=json.dumps(job))

    assert waited.returncode == 1
    assert waited.stderr.startswith("ColumnNotFound: ")
    explained = json.loads(program("explain", "mistake", "-o", "json").stdout)
    status = space.status("mistake")
    assert (explained["reason"], explained["message"]) == ("ColumnNotFound", status["failure"]["message"])
    assert explained["remedy"] == status["failure"]["hint"]


def test_a_job_that_is_made_anew_under_the_name_is_left_alone(space: Space) -> None:
    space.apply(finetunejob("anew", suspend=True, managedBy="example.com/nobody"))
    with Client(space.namespace, kubeconfig=str(space.cluster.kubeconfig)) as client:
        former = client.get("anew")
        former.delete()
        wait_for(lambda: space.get("ftj", "anew"), lambda found: not found, "the deletion")
        space.apply(finetunejob("anew", suspend=True, managedBy="example.com/nobody"))
        before = space.get("ftj", "anew")

        for deed in (former.suspend, former.resume, former.rerun, former.delete, former.refresh):
            with pytest.raises(NotFound, match="anew was deleted, and another made under its name"):
                deed()

        assert space.get("ftj", "anew") == before
        client.get("anew").resume()
        client.get("anew").delete()


@pytest.mark.slow
def test_who_interrupts_a_watch_leaves_the_job_as_it_is(space: Space, program: Program) -> None:
    space.apply(finetunejob("watched", suspend=True))
    watching = program.start("watch", "watched")
    assert watching.stdout is not None
    watching.stdout.readline()

    watching.send_signal(signal.SIGINT)
    _, errors = watching.communicate(timeout=PATIENCE)

    assert (watching.returncode, errors) == (130, "interrupted: watched goes on; `finetune watch watched` shows how\n")
    assert space.get("ftj", "watched")["spec"]["suspend"] is True


def test_the_pod_that_reads_a_volume_is_taken_by_the_strictest_pod_security(space: Space) -> None:
    job = {
        "metadata": {"name": "read", "namespace": space.namespace},
        "status": {"provenance": {"image": "finetune-trainer:x"}},
    }

    pod = reader_pod(read_snapshot(job), "pvc://read-output/model")

    applied = space.kubectl("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(pod))
    assert applied == "pod/read-reader created (server dry run)\n"


class Users:
    """Service accounts of a namespace, each with rights of its own."""

    def __init__(self, space: Space, folder: Path) -> None:
        self._space = space
        self._folder = folder

    def __call__(self, name: str, *rules: dict[str, Any]) -> Program:
        subject = {"kind": "ServiceAccount", "name": name, "namespace": self._space.namespace}
        api = "rbac.authorization.k8s.io"
        self._space.apply(
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}},
            {"apiVersion": f"{api}/v1", "kind": "Role", "metadata": {"name": name}, "rules": [*rules]},
            {
                "apiVersion": f"{api}/v1",
                "kind": "RoleBinding",
                "metadata": {"name": name},
                "roleRef": {"apiGroup": api, "kind": "Role", "name": name},
                "subjects": [subject],
            },
        )
        token = self._space.kubectl("create", "token", name).strip()
        config = json.loads(self._space.kubectl("config", "view", "--raw", "-o", "json"))
        config["users"] = [{"name": each["name"], "user": {"token": token}} for each in config["users"]]
        path = self._folder / name
        path.write_text(json.dumps(config))
        return Program(path, self._space.namespace)


@pytest.fixture
def users(space: Space, tmp_path: Path) -> Users:
    return Users(space, tmp_path)


def on_jobs(*verbs: str) -> dict[str, Any]:
    return {"apiGroups": ["finetune.dev"], "resources": ["finetunejobs"], "verbs": [*verbs]}


@pytest.mark.usefixtures("enforced_rights")
def test_rights_on_finetunejobs_alone_are_enough(space: Space, users: Users, operator_process: OperatorProcess) -> None:
    user = users("jobs-only", on_jobs(*ON_JOBS))
    job = finetunejob("rights", training={"epochs": 1, "batchSize": 8, "learningRate": 0.01})

    followed = user("submit", "-", "--follow", stdin=json.dumps(job))
    log = user("logs", "rights")

    assert followed.returncode == 0, followed.stderr
    assert (log.returncode, log.stdout) == (0, "")
    assert "is not for you" in log.stderr
    assert "cannot get resource" in log.stderr
    assert [user(*each, "rights").returncode for each in (["explain"], ["rerun"], ["suspend"], ["resume"])] == [0] * 4
    assert user("cancel", "rights").returncode == 0
    assert space.get("ftj", "rights") == {}


@pytest.mark.usefixtures("enforced_rights")
def test_who_has_fewer_rights_is_told_which_one_is_missing(space: Space, users: Users) -> None:
    space.apply(finetunejob("fewer", suspend=True))
    nobody, reader = users("nobody"), users("reader", on_jobs("get"))
    wait_for(lambda: reader("get", "fewer").returncode, lambda code: code == 0, "the role to hold")

    refused = [user(*each) for user, each in ((nobody, ["get"]), (reader, ["get"]), (reader, ["suspend", "fewer"]))]
    watched = reader("watch", "fewer", "--timeout", "3")
    lister, patcher = users("lister", on_jobs("list")), users("patcher", on_jobs("patch"))
    wait_for(lambda: lister("get", "fewer").returncode, lambda code: code == 0, "the role to hold")
    wait_for(lambda: patcher("suspend", "fewer").returncode, lambda code: code == 0, "the role to hold")
    shown = [lister(*each).returncode for each in (["get"], ["explain", "fewer"], ["logs", "fewer"])]
    every_namespace = lister("get", "-A")

    assert [each.returncode for each in refused] == [4, 4, 4]
    assert ['cannot list resource "finetunejobs"' in each.stderr for each in refused] == [True, True, False]
    assert 'cannot patch resource "finetunejobs"' in refused[2].stderr
    assert (watched.returncode, watched.stdout.startswith("fewer  ")) == (124, True)
    assert shown == [0, 0, 0]
    assert "at the cluster scope; `finetune get -n NAMESPACE` lists those of one namespace" in every_namespace.stderr

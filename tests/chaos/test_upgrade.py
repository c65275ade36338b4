"""Jobs that operators of before, or of later, have left behind, running: today's goes on with them, and replaces nothing.

`recorded/` has FineTuneJobs and their children as the API server held them under two operators of before, of three jobs each: one that
trains, one that waits for a node, and one that is suspended. Of what differs from cluster to cluster there are names in angle brackets.
"""

import base64
import hmac
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.chaos.fixtures import Scene, chaos_job
from tests.integration.fixtures import ROOT, reason_of
from tests.integration.release import Release

from devcluster.testing.api import MERGE, wait_for

RECORDED = Path(__file__).with_name("recorded")
RECORDED_STEP = 25
JOB_API = "/apis/finetune.dev/v1alpha1/namespaces/{namespace}/finetunejobs/{name}/status"
KINDS = ("job", "pod", "configmap", "pvc")
JOBS = ("runs", "waits", "held")
FUTURE = {"notices": {"sent": ["Running"]}}
"""What a newer operator writes into a status, beside what there is."""


@pytest.mark.slow
@pytest.mark.parametrize("release_of", ["before-profiles", "before-proofs"])
def test_jobs_of_an_older_release_go_on_under_today_s_operator_and_nothing_of_them_is_made_anew(
    stage: Scene, release: Release, release_of: str
) -> None:
    stage.operator.end()
    stage.kubelet.steps, stage.kubelet.seconds_a_step = 10_000, 0.05
    recorded = json.loads((RECORDED / f"{release_of}.json").read_text())
    for name in JOBS:
        leave_behind(stage, release, name, recorded[name])
    uid = stage.space.get("ftj", "runs")["metadata"]["uid"]
    wait_for(lambda: stage.kubelet.step_of(uid), lambda step: step > RECORDED_STEP, "a step after the recorded one")
    before = uids(stage)

    stage.operator.start()
    stage.until("runs", lambda status: status["progress"]["step"] > RECORDED_STEP, "numbers of a trainer of before")
    stage.space.patch("held", {"suspend": False})
    stage.until("held", lambda status: status["phase"] == "Running", "to run once it is no longer suspended")
    statuses = {name: stage.space.status(name) for name in JOBS}
    after = uids(stage)
    stage.kubelet.seconds_a_step = 1e-9
    phases = stage.end_of("runs", "held")

    assert {name: (status["phase"], reason_of(status)) for name, status in statuses.items()} == {
        "runs": ("Running", "Training"),
        "waits": ("Pending", "Unschedulable"),
        "held": ("Running", "Training"),
    }
    assert before.items() <= after.items()
    assert {kind for kind, _ in after.keys() - before.keys()} <= {"configmap", "pod"}
    assert phases == ["Succeeded"] * 2
    assert (stage.kubelet.disowned, stage.kubelet.answers[403]) == ([], 0)
    assert stage.history.violations() == []


@pytest.fixture
def newer_definition(stage: Scene) -> Iterator[None]:
    """The CustomResourceDefinition of a newer release, as it stays when the operator alone is rolled back."""
    crd = yaml.safe_load((ROOT / "crds/finetunejobs.yaml").read_text())
    status = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
    anything: dict[str, Any] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    for known in (status, status["properties"]["progress"], status["properties"]["conditions"]["items"]):
        known["properties"]["notices"] = anything
    stage.space.apply(crd)
    path = JOB_API.format(namespace=stage.space.namespace, name="probe").removesuffix("/status")
    probe = chaos_job("probe", managedBy="kueue.x-k8s.io/multikueue")

    def is_served() -> bool:
        """A real API server goes by the new schema a moment after it has taken it."""
        stage.space.apply(probe)
        answer = stage.history.api("PATCH", f"{path}/status", {"status": FUTURE}, MERGE)
        return answer.code == 200 and answer.body.get("status") == FUTURE

    wait_for(is_served, bool, "the newer definition")
    stage.space.kubectl("delete", "ftj", "probe")
    yield
    stage.space.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds/finetunejobs.yaml"))


@pytest.mark.slow
def test_jobs_of_a_newer_release_go_on_under_today_s_operator_which_takes_nothing_of_them_away(
    stage: Scene, newer_definition: None
) -> None:
    stage.kubelet.steps, stage.kubelet.seconds_a_step = 10_000, 0.05
    stage.kubelet.future = {"notices": FUTURE["notices"], "metrics": [{"name": "loss", "value": "1", "notices": {}}]}
    nowhere = {"pod": {"nodeSelector": {"chaos": "nowhere"}}}
    stage.space.apply(chaos_job("runs"), chaos_job("waits", **nowhere), chaos_job("held", suspend=True))
    stage.until("runs", lambda status: status.get("phase") == "Running", "to run")
    stage.until("waits", lambda status: reason_of(status) == "Unschedulable", "to wait")
    stage.until("held", lambda status: status.get("phase") == "Suspended", "to be held")
    stage.operator.end()
    for name in JOBS:
        become_newer(stage, name)
    stage.space.apply(chaos_job("begins"))
    before, step = uids(stage), stage.space.status("runs")["progress"]["step"]

    stage.operator.start()
    stage.until("runs", lambda status: status["progress"]["step"] > step, "numbers of a trainer of the newer release")
    stage.space.patch("held", {"suspend": False})
    stage.until("held", lambda status: status["phase"] == "Running", "to run once it is no longer suspended")
    stage.until("begins", lambda status: status.get("phase") == "Running", "to begin")
    statuses, after = {name: stage.space.status(name) for name in JOBS}, uids(stage)
    notes = {name: stage.space.get("job", name)["metadata"]["annotations"] for name in JOBS}
    stage.kubelet.seconds_a_step = 1e-9
    phases = stage.end_of("runs", "held", "begins")

    assert {name: status["notices"] for name, status in statuses.items()} == dict.fromkeys(JOBS, FUTURE["notices"])
    assert statuses["runs"]["progress"]["notices"] == FUTURE["notices"]
    ready = [each for status in statuses.values() for each in status["conditions"] if each["type"] == "Ready"]
    assert [each["notices"] for each in ready] == [FUTURE["notices"]] * 3
    assert [each.get("finetune.dev/notices") for each in notes.values()] == ["all"] * 3
    assert before.items() <= after.items()
    assert phases == ["Succeeded"] * 3
    assert (stage.kubelet.disowned, stage.kubelet.answers[403], stage.kubelet.answers[400]) == ([], 0, 0)
    assert stage.history.violations(replaced=True) == []


def become_newer(stage: Scene, name: str) -> None:
    """Have a job and its Job be as a newer operator might have left them."""
    progress = {"progress": FUTURE} if name == "runs" else {}
    conditions = [{**each, **FUTURE} for each in stage.space.status(name)["conditions"]]
    path = JOB_API.format(namespace=stage.space.namespace, name=name)
    newer_status = {"status": {**FUTURE, "conditions": conditions, **progress}}
    assert stage.history.api("PATCH", path, newer_status, MERGE).code == 200
    requested = json.loads(stage.space.get("job", name)["metadata"]["annotations"]["finetune.dev/requested"])
    newer = {"finetune.dev/notices": "all", "finetune.dev/requested": json.dumps({**requested, "notices": 1})}
    for kind in ("job", "pod"):
        for raw in stage.space.list(kind, f"finetune.dev/job-name={name}"):
            stage.space.kubectl(
                "patch", kind, raw["metadata"]["name"], "-p", json.dumps({"metadata": {"annotations": newer}})
            )


def leave_behind(stage: Scene, release: Release, name: str, recorded: dict[str, Any]) -> None:
    """Make a job with its children and its status as the older operator left them."""
    kind = {"apiVersion": "finetune.dev/v1alpha1", "kind": "FineTuneJob", "metadata": {"name": name}}
    stage.space.apply({**kind, "spec": recorded["spec"]})
    uid = stage.space.get("ftj", name)["metadata"]["uid"]
    secret = release.home.get("secret", release.settings["FINETUNE_OPERATOR_SECRET_NAME"])["data"]
    names = {
        "<NAMESPACE>": stage.space.namespace,
        "<UID>": uid,
        "<SHORT>": uid[:8],
        "<URL>": f"https://127.0.0.1:{stage.operator.environment['FINETUNE_OPERATOR_REPORTS_PORT']}",
        "<CA>": base64.b64decode(secret["ca.crt"]).decode(),
    }
    if "finetune-operator-ca" in json.dumps(recorded):
        metadata = {
            "name": "finetune-operator-ca",
            "labels": {"app.kubernetes.io/managed-by": "finetune-operator", "finetune.dev/shared": "true"},
        }
        stage.space.apply(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"ca.crt": names["<CA>"]}}
        )
    stage.space.apply(*filled_in(recorded["children"], names))
    if name != "held":
        (pod,) = wait_for(lambda: stage.space.list("pod", f"finetune.dev/job-uid={uid}"), bool, f"the pod of {name}")
        names["<POD>"] = pod["metadata"]["name"]
    status = filled_in(recorded["status"], names)
    if "profile" in status:
        status["profile"]["proof"] = older_proof(status["profile"], uid, base64.b64decode(secret["ca.key"]))
    path = JOB_API.format(namespace=stage.space.namespace, name=name)
    assert stage.history.api("PATCH", path, {"status": status}, MERGE).code == 200


def filled_in(recorded: Any, names: dict[str, str]) -> Any:
    """What was recorded, with this cluster's names."""
    text = json.dumps(recorded)
    for name, value in names.items():
        text = text.replace(name, json.dumps(value)[1:-1])
    return json.loads(text)


def older_proof(profile: dict[str, Any], uid: str, keys: bytes) -> str:
    """That of a profile, as it was made before Jobs had one; the authority of the reports has one key here."""
    key = hmac.digest(keys, b"finetune.dev/profile", "sha256")
    content = [uid, profile["name"], profile["generation"], profile["settings"]]
    return f"sha256:{hmac.new(key, json.dumps(content).encode(), 'sha256').hexdigest()}"


def uids(stage: Scene) -> dict[tuple[str, str], str]:
    """The uids of all children, by kind and name."""
    return {
        (kind, raw["metadata"]["name"]): raw["metadata"]["uid"]
        for kind in KINDS
        for raw in stage.space.list(kind, "finetune.dev/job-uid")
    }

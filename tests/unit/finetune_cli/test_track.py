"""`finetune track`, from the cluster's object to the tracker, and how it ends."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from tests.mlflow_server import FakeServer
from tests.unit.finetune.api_server import FakeApi
from tests.unit.finetune_cli.conftest import Run

from finetune_cli import consent

pytestmark = pytest.mark.usefixtures("kubeconfig")


@pytest.fixture
def mlflow() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


@pytest.fixture(autouse=True)
def ended(api_server: FakeApi, mlflow: FakeServer) -> None:
    """A job on a volume that failed while its tracker was down."""
    spec = {
        "task": "text-classification",
        "model": {"source": "org/model"},
        "dataset": {"source": "org/data", "train": {"split": "train"}},
        "tracking": {"mlflow": {"uri": mlflow.uri}},
        "pod": {"image": "registry/trainer"},
    }
    run = {"number": 1, "startTime": "2026-11-20T12:00:00Z", "output": "pvc://job-0f9b"}
    api_server.job("job", spec, phase="Failed", run=run)


@pytest.fixture
def copies(tmp_path: Path) -> str:
    line = {"kind": "log", "step": 7, "epoch": 0.5, "metrics": {"loss": 1.0}}
    (tmp_path / "history.jsonl").write_text(json.dumps(line))
    (tmp_path / "tracking.json").write_text(json.dumps({"run": "0123456789abcdef"}))
    return str(tmp_path)


@pytest.mark.thorough
def test_it_says_where_all_points_are_now_to_people_and_to_programs(run: Run, mlflow: FakeServer, copies: str) -> None:
    told, written = run("track", "job", "--from", copies), run("track", "job", "--from", copies, "-o", "json")

    url = f"{mlflow.uri}/#/experiments/1/runs/run0"
    assert (told.exit_code, told.stdout) == (0, f"mlflow has all points of job: {url}\n")
    assert (written.exit_code, json.loads(written.stdout)) == (0, [{"tracker": "mlflow", "url": url}])
    assert mlflow.steps("loss", mlflow.run()) == [7]


@pytest.mark.thorough
def test_a_server_that_is_still_down_is_a_failure(run: Run, mlflow: FakeServer, copies: str) -> None:
    mlflow.stop()

    result = run("track", "job", "--from", copies)

    why = f"{mlflow.uri} cannot be reached (ConnectionError)"
    assert (result.exit_code, result.stderr) == (1, f"mlflow: not all has arrived: {why}\n")


def test_of_a_volume_it_is_usage_and_the_pod_that_reads_it_mounts_the_claim(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "mine")

    result, pod = run("track", "job"), run("track", "job", "--reader-pod")

    assert result.exit_code == 2
    assert "finetune track job -n team-a --from job-history" in result.stderr
    (volume,) = YAML(typ="safe").load(pod.stdout)["spec"]["volumes"]
    assert volume["persistentVolumeClaim"] == {"claimName": "job-0f9b", "readOnly": True}


@pytest.mark.thorough
@pytest.mark.parametrize(("answer", "code", "steps"), [("y\n", 0, [7]), ("n\n", 1, [])])
def test_no_credentials_go_to_the_server_of_a_job_that_may_be_somebody_else_s_without_consent(
    run: Run, mlflow: FakeServer, copies: str, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, steps: list[int]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "mine")

    in_a_script = run("track", "job", "--from", copies)
    monkeypatch.setattr(consent, "_on_a_terminal", lambda: True)
    asked = run("track", "job", "--from", copies, stdin=answer)

    what = "MLFLOW_TRACKING_TOKEN of this machine's environment"
    refusal = f"job has its points sent to {mlflow.uri}, with {what}: --yes agrees\n"
    assert (in_a_script.exit_code, in_a_script.stderr) == (2, refusal)
    assert asked.exit_code == code
    assert f"job has its points sent to {mlflow.uri}. Send it {what}? [y/N]" in asked.stderr
    assert [point["step"] for points in mlflow.history.values() for point in points if point["key"] == "loss"] == steps


@pytest.mark.thorough
def test_in_a_script_yes_agrees(run: Run, mlflow: FakeServer, copies: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "mine")

    assert run("track", "job", "--from", copies, "--yes").exit_code == 0
    assert mlflow.steps("loss", mlflow.run()) == [7]

"""What had not arrived at a job's trackers by its end is sent from here, each point once."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.mlflow_server import FakeServer
from tests.s3_server import BUCKET, S3
from tests.trackio_server import TOKEN, FakeTrackio

from finetune.consent import host_of, trusting
from finetune.errors import FineTuneError, NotFound, Refused
from finetune.snapshot import Snapshot, read_snapshot
from finetune.tracking import FILES, credentials_sent, send_history
from finetune_api.profile import Defaults, ProfileSettings
from finetune_api.status import TrackedRun
from finetune_api.tracking import Tracking

SPEC = {
    "task": "text-classification",
    "model": {"source": "org/model"},
    "dataset": {"source": "org/data", "train": {"split": "train"}},
}
LINES = [
    {"kind": "log", "step": 1, "epoch": 0.5, "metrics": {"loss": 1.0}},
    {"kind": "log", "step": 2, "epoch": 1.0, "metrics": {"loss": 0.5}},
    {"kind": "evaluation", "step": 2, "epoch": 1.0, "metrics": {"eval_loss": 0.7}},
]


def job(tracking: Any, output: str, phase: str = "Succeeded", **status: Any) -> Snapshot:
    spec = {**SPEC, **({"tracking": tracking} if tracking else {})}
    run = {"number": 1, "startTime": "2026-11-20T12:00:00Z", "output": output}
    return read_snapshot(
        {
            "metadata": {"name": "yelp", "namespace": "team-a", "uid": "0f9b"},
            "spec": spec,
            "status": {"phase": phase, "run": run, **status},
        }
    )


@pytest.fixture
def mlflow() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


@pytest.fixture
def trackio() -> Iterator[FakeTrackio]:
    with FakeTrackio() as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Copies of what the output has."""
    made = tmp_path / "copies"
    made.mkdir()
    (made / "history.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in LINES))
    (made / "tracking.json").write_text(json.dumps({"run": "0123456789abcdef"}))
    return made


@pytest.mark.slow
def test_the_rest_of_a_job_arrives_once_at_each_server_whatever_had_arrived_before(
    mlflow: FakeServer, trackio: FakeTrackio, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKIO_WRITE_TOKEN", TOKEN)
    tracking = {"mlflow": {"uri": mlflow.uri}, "trackio": {"uri": trackio.uri}, "tensorboard": {}, "wandb": {}}
    failed = job(tracking, "pvc://yelp-0f9b", phase="Failed", provenance={"seed": 42})
    whole = (folder / "history.jsonl").read_text()
    (folder / "history.jsonl").write_text(f"{json.dumps(LINES[0])}\n")
    with pytest.raises(Refused, match=f"{trackio.uri} would get TRACKIO_WRITE_TOKEN of this machine's environment"):
        send_history(failed, folder, agree=trusting("somewhere.example"))
    agree = trusting(host_of(trackio.uri))
    send_history(failed, folder, agree=agree)
    (folder / "history.jsonl").write_text(whole)

    runs = [send_history(failed, folder, agree=agree) for _ in range(2)]

    page = f"{mlflow.uri}/#/experiments/1/runs/run0"
    both = [
        TrackedRun(tracker="mlflow", url=page),
        TrackedRun(tracker="trackio", url=f"{trackio.uri}/?project=finetune"),
    ]
    assert runs == [both, both]
    assert (mlflow.steps("loss", mlflow.run()), mlflow.steps("eval_loss", mlflow.run())) == ([1, 2], [2])
    assert (trackio.steps("train/loss", "finetune"), trackio.steps("eval/loss", "finetune")) == ([1, 2], [2])
    run = mlflow.run()
    assert (run["info"]["run_name"], run["info"]["status"]) == ("yelp", "FAILED")
    tags = {each["key"]: each["value"] for each in run["data"]["tags"]}
    assert (tags["finetune.output"], tags["finetune.job.namespace"], tags["finetune.seed"]) == (
        "pvc://yelp-0f9b",
        "team-a",
        "42",
    )


@pytest.mark.slow
def test_from_a_bucket_it_reads_them_itself_and_by_the_profile_s_tracker(
    mlflow: FakeServer, folder: Path, s3_server: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_server.variables.items():
        monkeypatch.setenv(name, value)
    for name in FILES:
        s3_server.write(f"track/{name}", (folder / name).read_bytes())
    settings = ProfileSettings(defaults=Defaults(tracking=Tracking.model_validate({"mlflow": {"uri": mlflow.uri}})))
    kept = {"name": "gpus", "digest": f"sha256:{64 * '0'}", "settings": json.dumps(settings.to_wire())}

    runs = send_history(job(None, f"s3://{BUCKET}/track", profile=kept))

    assert [(run.tracker, run.message) for run in runs] == [("mlflow", None)]
    assert mlflow.steps("loss", mlflow.run()) == [1, 2]
    with pytest.raises(NotFound, match=r"has no history\.jsonl: the run has written none"):
        send_history(job(None, f"s3://{BUCKET}/other", profile=kept))


def test_of_what_is_larger_than_any_history_nothing_is_sent(
    mlflow: FakeServer, folder: Path, s3_server: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_server.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("finetune.tracking.MOST_BYTES", 50)
    for name in FILES:
        s3_server.write(f"large/{name}", (folder / name).read_bytes())

    for copies in (None, folder):
        with pytest.raises(Refused, match=r"history\.jsonl at s3://.*/large has more than 50 bytes"):
            send_history(job({"mlflow": {"uri": mlflow.uri}}, f"s3://{BUCKET}/large"), copies)

    assert mlflow.runs == {}


@pytest.mark.thorough
def test_a_server_that_is_still_down_is_said_beside_what_arrived(
    mlflow: FakeServer, trackio: FakeTrackio, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trackio.stop()

    runs = send_history(job({"mlflow": {"uri": mlflow.uri}, "trackio": {"uri": trackio.uri}}, "pvc://yelp"), folder)

    assert [run.message for run in runs] == [None, f"{trackio.uri} cannot be reached (ConnectionError)"]


@pytest.mark.slow
def test_a_server_that_answers_what_nobody_expects_is_said_in_words(
    mlflow: FakeServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlflow, "answer", lambda what, fields: (200, {}))

    runs = send_history(job({"mlflow": {"uri": mlflow.uri}}, "pvc://yelp"), folder)

    assert [run.message for run in runs] == ["KeyError: 'experiment'"]


@pytest.mark.thorough
def test_credentials_that_a_server_refuses_are_looked_for_where_they_may_come_from(
    mlflow: FakeServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow.password = "Bearer right"
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "wrong")
    tracked, agree = job({"mlflow": {"uri": mlflow.uri}}, "pvc://yelp"), trusting(host_of(mlflow.uri))

    (run,) = send_history(tracked, folder, agree=agree)

    where = "check the Secret of tracking.secretRef, outside a cluster the environment"
    assert run.message == f"{mlflow.uri} refuses the credentials (401): {where}"


@pytest.mark.parametrize(
    ("tracking", "phase", "message"),
    [
        ({"mlflow": {"uri": "http://m"}}, "Running", "yelp is Running: it sends its points itself until it has ended"),
        (
            {"tensorboard": {}, "trackio": {}},
            "Failed",
            "yelp is tracked by no server: all else is in its output already",
        ),
        (None, "Failed", "yelp is tracked by no server"),
    ],
)
def test_what_there_is_nothing_to_send_of_is_refused(tracking: Any, phase: str, message: str, folder: Path) -> None:
    with pytest.raises(Refused, match=message):
        send_history(job(tracking, "pvc://yelp", phase), folder)


def test_of_a_volume_it_says_what_to_type() -> None:
    with pytest.raises(Refused) as raised:
        send_history(job({"mlflow": {"uri": "http://m"}}, "pvc://yelp-0f9b/runs/2"))

    finetune, kubectl, read = "finetune track yelp -n team-a", "kubectl -n team-a", "yelp-reader:/output/runs/2"
    assert [line.strip() for line in str(raised.value).splitlines()[1:]] == [
        f"{finetune} --reader-pod | {kubectl} apply -f -",
        f"{kubectl} wait --for=condition=Ready --timeout=10m pod/yelp-reader",
        f"{kubectl} cp {read}/history.jsonl yelp-history/history.jsonl",
        f"{kubectl} cp {read}/tracking.json yelp-history/tracking.json",
        f"{finetune} --from yelp-history",
        f"{kubectl} delete pod yelp-reader",
    ]


@pytest.mark.thorough
@pytest.mark.parametrize("marker", ["{}", "nonsense"])
def test_without_the_run_s_id_nothing_is_sent_that_would_be_another_run(
    mlflow: FakeServer, folder: Path, marker: str
) -> None:
    (folder / "tracking.json").write_text(marker)

    with pytest.raises(
        FineTuneError, match=r"the history cannot be sent: tracking\.json at the output does not name the run"
    ):
        send_history(job({"mlflow": {"uri": mlflow.uri}}, "pvc://yelp"), folder)
    (folder / "tracking.json").unlink()
    with pytest.raises(NotFound, match=r"has no tracking\.json: copy it from pvc://yelp"):
        send_history(job({"mlflow": {"uri": mlflow.uri}}, "pvc://yelp"), folder)

    assert mlflow.runs == {}


def test_a_token_of_the_hub_goes_to_spaces_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "TRACKIO_WRITE_TOKEN"):
        monkeypatch.setenv(name, "mine")
    space, other = "https://eve-runs.hf.space", "https://hf.space.eve.example"

    sent = [credentials_sent(job({"trackio": {"uri": uri}}, "pvc://yelp")) for uri in (space, other)]

    assert sent == [{space: ("TRACKIO_WRITE_TOKEN", "HF_TOKEN")}, {other: ("TRACKIO_WRITE_TOKEN",)}]

"""The client against an API server that answers as Kubernetes does."""

import subprocess
import sys
import threading
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from tests.unit.finetune.api_server import FTJ, FakeApi, Request, status

from finetune import (
    AsyncClient,
    Client,
    FineTuneJob,
    JobFailed,
    NotFound,
    Refused,
)
from finetune.client import Job

SPEC = {
    "task": "text-classification",
    "model": {"source": "org/model"},
    "dataset": {"source": "org/data", "train": {"split": "train"}},
}
pytestmark = pytest.mark.usefixtures("kubeconfig")


def test_a_job_is_submitted_to_the_namespace_of_the_context_and_unknown_fields_are_refused(api_server: FakeApi) -> None:
    with Client() as client:
        job = client.submit(FineTuneJob.of("stars", **SPEC))

    (sent,) = (each for each in api_server.requests if each.method == "POST")
    assert (sent.path, sent.query["fieldValidation"], sent.authorization) == (FTJ, "Strict", "Bearer t")
    assert sent.body == {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": "stars", "namespace": "team-a"},
        "spec": SPEC,
    }
    assert (job.name, job.namespace, job.snapshot.phase) == ("stars", "team-a", "Pending")


def test_another_context_has_its_own_namespace(api_server: FakeApi) -> None:
    with Client(context="elsewhere") as client, pytest.raises(NotFound):
        client.get("job")

    assert api_server.requests[0].path == f"{FTJ}/job".replace("team-a", "team-b")


def test_the_result_has_metrics_model_and_history(api_server: FakeApi) -> None:
    api_server.job(
        "job",
        phase="Succeeded",
        metrics=[{"name": "eval_accuracy", "value": "0.581"}],
        model={"uri": "s3://models/job/model", "digest": "sha256:" + "0" * 64},
        curves={
            "training": {"steps": "10 20", "series": [{"name": "loss", "values": "1.5 0.5"}]},
            "evaluation": {"steps": "20", "series": [{"name": "eval_accuracy", "values": "0.581"}]},
        },
    )

    with Client() as client:
        result = client.get("job").result()

    assert result.metrics == {"eval_accuracy": 0.581}
    assert result.model is not None
    assert result.model.uri == "s3://models/job/model"
    history = result.history()
    assert history.index.tolist() == [10, 20]
    assert history["loss"].tolist() == [1.5, 0.5]
    assert history["eval_accuracy"].dropna().to_dict() == {20: 0.581}


def test_a_job_and_its_result_are_a_line_where_python_shows_them(api_server: FakeApi) -> None:
    model = {"uri": "s3://bucket/model"}
    metrics = [{"name": "loss", "value": "0.5"}, {"name": "eval_f1", "value": "0.9"}]
    api_server.job("job", phase="Succeeded", message="done", metrics=metrics, model=model)

    with Client() as client:
        job = client.get("job")
        shown = [repr(each) for each in (job, client.list(), job.result())]
        in_a_notebook = job.result()._repr_html_()

    assert shown == [
        "<FineTuneJob team-a/job: Succeeded>",
        "[<FineTuneJob team-a/job: Succeeded>]",
        "<Result of team-a/job: loss 0.5, eval_f1 0.9; model s3://bucket/model>",
    ]
    assert in_a_notebook == job._repr_html_()


def test_a_failed_job_is_an_error_in_the_operators_words(api_server: FakeApi) -> None:
    failure = {"reason": "ColumnNotFound", "message": "no column 'tag'", "hint": "Name 'tags' in dataset.columns."}
    api_server.job("job", phase="Failed", failure=failure)

    with Client() as client, pytest.raises(JobFailed) as raised:
        client.get("job").result()

    assert str(raised.value) == "ColumnNotFound: no column 'tag'\nName 'tags' in dataset.columns."


async def test_the_asynchronous_twin_does_the_same(api_server: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    def watch(_: Request) -> Any:
        yield {"type": "MODIFIED", "object": api_server.job("stars", phase="Running", message="step 1")}
        yield {"type": "MODIFIED", "object": api_server.job("stars", phase="Succeeded")}

    api_server.answers["WATCH", FTJ] = watch

    async with AsyncClient() as client:
        job = await client.submit(FineTuneJob.of("stars", **SPEC))
        result = await job.follow()

    assert result.snapshot.phase == "Succeeded"
    assert (
        capsys.readouterr().out
        == "stars  Pending: no operator has seen it yet\nstars  Running: step 1\nstars  Succeeded\n"
    )


def test_a_job_is_suspended_resumed_run_again_and_deleted(api_server: FakeApi) -> None:
    api_server.job("job", phase="Running")

    with Client() as client:
        job = client.get("job")
        job.suspend()
        assert api_server.jobs["job"]["spec"] == {"suspend": True}
        job.resume()
        job.rerun("2", training={"epochs": 2})
        assert api_server.jobs["job"]["spec"] == {"suspend": False, "runToken": "2", "training": {"epochs": 2}}
        job.delete()

    assert api_server.jobs == {}
    assert api_server.requests[-1].body == {"propagationPolicy": "Background", "preconditions": {"uid": "uid-job"}}


DEEDS: list[Callable[[Job], object]] = [Job.suspend, Job.resume, Job.rerun, Job.delete, Job.refresh]


@pytest.mark.parametrize("deed", DEEDS)
def test_a_job_that_is_made_anew_under_the_name_is_left_alone(
    api_server: FakeApi, deed: Callable[[Job], object]
) -> None:
    api_server.job("job")
    with Client() as client:
        job = client.get("job")
        api_server.made_anew("job")
        before = deepcopy(api_server.jobs["job"])

        with pytest.raises(NotFound, match="job was deleted, and another made under its name"):
            deed(job)

    assert api_server.jobs["job"] == before
    assert job.snapshot.uid == "uid-job"


@pytest.mark.parametrize(
    "refusal",
    [
        # Of a patch by a Kubernetes that checks what cannot change, and of one whose store compares first.
        status(422, "Invalid", 'FineTuneJob "job" is invalid: metadata.uid: Invalid value: "a": field is immutable'),
        status(409, "Conflict", "Precondition failed: UID in precondition: a, UID in object meta: b"),
    ],
)
def test_each_way_in_which_the_cluster_says_that_it_is_another_job_is_understood(
    api_server: FakeApi, refusal: tuple[int, Any]
) -> None:
    api_server.job("job")
    api_server.answers["PATCH", f"{FTJ}/job"] = lambda _: refusal

    with Client() as client, pytest.raises(NotFound, match="job was deleted, and another made under its name"):
        client.get("job").suspend()


def test_a_conflict_of_another_kind_stays_one(api_server: FakeApi) -> None:
    api_server.job("uid")
    api_server.answers["PATCH", f"{FTJ}/uid"] = lambda _: status(409, "Conflict", "uid: the object has been modified")

    with Client() as client, pytest.raises(Refused, match="has been modified"):
        client.get("uid").suspend()


@pytest.mark.slow
def test_a_script_that_closes_nothing_ends_without_a_complaint(api_server: FakeApi, kubeconfig: Path) -> None:
    api_server.job("stars", phase="Running")
    script = "from finetune import Client; print(Client().get('stars').snapshot.phase)"

    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert (ended.stdout, ended.stderr) == ("Running\n", "")


def test_a_client_that_was_asked_nothing_starts_no_thread_to_be_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []
    start = threading.Thread.start

    def record(thread: threading.Thread) -> None:
        begun.append(thread.name)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", record)

    Client().close()

    assert begun == []

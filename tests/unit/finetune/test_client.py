"""The client against an API server that answers as Kubernetes does."""

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from tests.unit.finetune.api_server import FTJ, PODS, Break, FakeApi, Request, status

from finetune import (
    AlreadyThere,
    AsyncClient,
    Client,
    FineTuneError,
    FineTuneJob,
    JobFailed,
    NoCluster,
    NotAllowed,
    NotFound,
    Refused,
    TimedOut,
)
from finetune.api import Api
from finetune.client import Job
from finetune.errors import NotKnown

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


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (status(404, "NotFound", "no such job"), NotFound),
        (status(403, "Forbidden", "User u cannot get"), NotAllowed),
        (status(401, "Unauthorized", "Unauthorized"), NotKnown),
        (status(422, "Invalid", "spec.task: wrong"), Refused),
        (status(409, "AlreadyExists", "is there"), AlreadyThere),
        (status(500, "InternalError", "etcd is down"), NoCluster),
        (status(429, "TooManyRequests", "later"), NoCluster),
        ((200, b"<html>a proxy"), NoCluster),
        ((200, b"[]"), NoCluster),
        ((403, b"\x1b[31mno\x1b[0m"), NotAllowed),
    ],
)
def test_an_answer_that_is_no_job_is_an_error_with_the_servers_words(
    api_server: FakeApi, answer: tuple[int, Any], kind: type[FineTuneError]
) -> None:
    api_server.answers |= {("GET", path): lambda _: answer for path in (f"{FTJ}/job", FTJ)}

    with Client() as client, pytest.raises(kind) as raised:
        client.get("job")

    message = answer[1]["message"] if isinstance(answer[1], dict) else ""
    assert message in str(raised.value)
    assert "\x1b" not in str(raised.value)


def test_a_kubeconfig_that_is_not_there_is_no_cluster(tmp_path: Path) -> None:
    with (
        Client(kubeconfig=str(tmp_path / "none")) as client,
        pytest.raises(NoCluster, match="there is no kubeconfig at"),
    ):
        client.list()


def test_a_kubeconfig_that_is_broken_is_no_cluster(tmp_path: Path) -> None:
    path = tmp_path / "broken"
    path.write_text("contexts: 5\n")

    with Client(kubeconfig=str(path)) as client, pytest.raises(NoCluster, match="cannot be used"):
        client.list()


def test_a_server_that_does_not_answer_is_no_cluster(kubeconfig: Path) -> None:
    kubeconfig.write_text(kubeconfig.read_text().replace("http://127.0.0.1:", "http://127.0.0.1:1#"))

    with Client() as client, pytest.raises(NoCluster, match="does not answer"):
        client.list()


def test_a_token_that_has_expired_is_made_again(api_server: FakeApi, kubeconfig: Path) -> None:
    api_server.job("job")
    answers = iter([status(401, "Unauthorized", "expired"), (200, api_server.jobs["job"])])

    def expire(_: Request) -> tuple[int, Any]:
        kubeconfig.write_text(kubeconfig.read_text().replace('"token": "t"', '"token": "new"'))
        return next(answers)

    api_server.answers["GET", f"{FTJ}/job"] = expire

    with Client() as client:
        client.get("job")

    assert [each.authorization for each in api_server.requests] == ["Bearer t", "Bearer new"]


async def test_a_token_that_is_made_again_leaves_the_streams_that_go_on_alone(api_server: FakeApi) -> None:
    renewed = threading.Event()

    def slowly(_: Request) -> Iterator[bytes]:
        yield b"one\n"
        renewed.wait()
        yield b"two\n"

    api_server.answers["GET", f"{PODS}/pod/log"] = slowly
    api_server.answers["GET", f"{FTJ}/job"] = lambda _: status(401, "Unauthorized", "expired")
    api = Api()
    lines = api.lines(f"{PODS}/pod/log", {})

    read = [await anext(lines)]
    with pytest.raises(NotKnown):
        await api.get(f"{FTJ}/job")
    renewed.set()
    read += [line async for line in lines]
    await api.close()

    assert read == [b"one", b"two"]


def test_credentials_that_have_expired_are_an_error_that_says_to_log_in(api_server: FakeApi) -> None:
    api_server.answers["GET", f"{FTJ}/job"] = lambda _: status(401, "Unauthorized", "Unauthorized")

    with Client() as client, pytest.raises(NotKnown, match=r"Unauthorized: the cluster does not take .* log in"):
        client.get("job")


async def test_requests_at_once_whose_token_has_expired_are_all_told_so(api_server: FakeApi) -> None:
    api_server.answers["GET", f"{FTJ}/job"] = lambda _: status(401, "Unauthorized", "expired")
    api = Api()

    found = await asyncio.gather(*(api.get(f"{FTJ}/job") for _ in range(8)), return_exceptions=True)
    await api.close()

    assert {type(each) for each in found} == {NotKnown}


async def test_who_may_list_and_not_watch_is_told_of_changes_all_the_same(api_server: FakeApi) -> None:
    api_server.answers["WATCH", FTJ] = lambda _: status(403, "Forbidden", "User u cannot watch")
    api_server.job("job", phase="Pending")
    api_server.job("other")
    told = []

    async with AsyncClient() as client, aclosing(client.watch()) as changes:
        async for kind, job in changes:
            told.append((kind, job.name, job.phase))
            if len(told) == 2:
                api_server.job("job", phase="Running")
                del api_server.jobs["other"]
            if len(told) == 4:
                break

    assert told == [
        ("ADDED", "job", "Pending"),
        ("ADDED", "other", "Pending"),
        ("MODIFIED", "job", "Running"),
        ("DELETED", "other", "Pending"),
    ]


def test_another_context_has_its_own_namespace(api_server: FakeApi) -> None:
    with Client(context="elsewhere") as client, pytest.raises(NotFound):
        client.get("job")

    assert api_server.requests[0].path == f"{FTJ}/job".replace("team-a", "team-b")


def test_a_watch_goes_on_after_it_is_cut_after_410_and_after_an_end_and_tells_nothing_twice(
    api_server: FakeApi,
) -> None:
    api_server.job("job", phase="Pending")
    tries = 0

    def watch(_: Request) -> Any:
        nonlocal tries
        tries += 1
        if tries == 1:
            yield {"type": "MODIFIED", "object": api_server.job("job", phase="Running")}
            raise Break
        if tries == 2:
            api_server.job("job", phase="Running", message="half")
            yield {"type": "ERROR", "object": {"code": 410, "message": "too old resource version"}}
        if tries == 3:
            yield {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(api_server.version)}}}
        if tries == 4:
            yield {"type": "MODIFIED", "object": api_server.job("job", phase="Succeeded")}

    api_server.answers["WATCH", FTJ] = watch

    with Client() as client:
        seen = [(each.phase, each.status.message) for each in client.get("job").watch()]

    assert seen == [("Pending", None), ("Running", None), ("Running", "half"), ("Succeeded", None)]


@pytest.mark.parametrize(
    "event", [b"no json\n", b"5\n", b'{"type": "MODIFIED"}\n', b'{"type": "ADDED", "object": 5}\n']
)
def test_an_event_that_cannot_be_read_is_read_again(api_server: FakeApi, event: bytes) -> None:
    api_server.job("job", phase="Running")
    events: list[Any] = [event]

    def watch(_: Request) -> Any:
        yield events.pop() if events else {"type": "MODIFIED", "object": api_server.job("job", phase="Succeeded")}

    api_server.answers["WATCH", FTJ] = watch

    with Client() as client:
        assert client.get("job").wait().phase == "Succeeded"


def test_who_may_only_read_a_job_still_follows_it(api_server: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetune.watching._POLL", 0.01)
    api_server.answers["GET", FTJ] = lambda _: status(403, "Forbidden", "cannot list")
    api_server.job("job", phase="Running")

    with Client() as client:
        job = client.get("job")
        changes = job.watch()
        seen = [next(changes).phase]
        api_server.job("job", phase="Succeeded")
        seen += [each.phase for each in changes]

    assert seen == ["Running", "Succeeded"]


def test_a_job_that_is_deleted_while_it_is_waited_for_is_not_found(api_server: FakeApi) -> None:
    api_server.job("job", phase="Running")

    def watch(_: Request) -> Any:
        yield {"type": "DELETED", "object": api_server.jobs.pop("job")}

    api_server.answers["WATCH", FTJ] = watch

    with Client() as client, pytest.raises(NotFound, match="job was deleted"):
        client.get("job").wait()


def test_a_job_of_the_same_name_that_somebody_made_meanwhile_is_another(api_server: FakeApi) -> None:
    api_server.job("job", phase="Running")

    with Client() as client:
        job = client.get("job")
        api_server.jobs["job"]["metadata"] = {**api_server.jobs["job"]["metadata"], "uid": "other"}
        with pytest.raises(NotFound, match="another made under its name"):
            job.wait()


@pytest.mark.parametrize(
    ("phase", "said"), [("Running", "it is Running, and goes on"), ("Suspended", "it is Suspended$")]
)
def test_waiting_ends_at_the_timeout_and_the_job_goes_on(api_server: FakeApi, phase: str, said: str) -> None:
    api_server.job("job", phase=phase)

    def silent(_: Request) -> Any:
        time.sleep(1)
        return iter(())

    api_server.answers["WATCH", FTJ] = silent

    with Client() as client, pytest.raises(TimedOut, match=said):
        client.get("job").wait(timeout=0.05)


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


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ((404, b"404 page not found"), "this cluster knows no FineTuneJobs (finetune.dev/v1alpha1)"),
        (
            status(404, "NotFound", "the server could not find the requested resource"),
            "this cluster knows no FineTuneJobs",
        ),
        (status(404, "NotFound", 'finetunejobs "job" not found'), 'finetunejobs "job" not found in namespace team-a'),
    ],
)
def test_what_is_not_there_is_the_job_or_the_kind(
    api_server: FakeApi, kubeconfig: Path, answer: tuple[int, Any], says: str
) -> None:
    api_server.answers["GET", f"{FTJ}/job"] = lambda _: answer

    with Client() as client, pytest.raises(NotFound) as raised:
        client.get("job")

    assert str(raised.value).startswith(says)


@pytest.mark.slow
def test_a_script_that_closes_nothing_ends_without_a_complaint(api_server: FakeApi, kubeconfig: Path) -> None:
    api_server.job("stars", phase="Running")
    script = "from finetune import Client; print(Client().get('stars').snapshot.phase)"

    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert (ended.stdout, ended.stderr) == ("Running\n", "")


@pytest.mark.usefixtures("kubeconfig")
def test_a_client_that_was_asked_nothing_starts_no_thread_to_be_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []
    start = threading.Thread.start

    def record(thread: threading.Thread) -> None:
        begun.append(thread.name)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", record)

    Client().close()

    assert begun == []

"""What keeps the client from a job is an error that says what to do, in the cluster's own words."""

from pathlib import Path
from typing import Any

import pytest
from tests.unit.finetune.api_server import FTJ, FakeApi, status

from finetune import (
    AlreadyThere,
    Client,
    FineTuneError,
    NoCluster,
    NotAllowed,
    NotFound,
    Refused,
)
from finetune.errors import NotKnown

pytestmark = pytest.mark.usefixtures("kubeconfig")


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

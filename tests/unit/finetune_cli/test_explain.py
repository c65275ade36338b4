"""The card of a job has what it waits for or failed of, with the line that proves it."""

import json
from typing import Any

import pytest
from tests.unit.finetune.api_server import PODS, FakeApi, Request, status
from tests.unit.finetune_cli.conftest import Run
from tests.unit.finetune_cli.served_jobs import FAILURE

pytestmark = pytest.mark.usefixtures("kubeconfig")


def card(text: str) -> dict[str, str]:
    """The lines of a card by their name."""
    return {line[:13].strip(): line[15:].strip() for line in text.splitlines()}


def test_the_card_of_a_failure_has_reason_remedy_and_the_line_that_proves_it(run: Run, api_server: FakeApi) -> None:
    failure = {**FAILURE, "logTail": "Traceback\nKeyError: 'tag'\n"}
    api_server.job("job", phase="Failed", failure=failure, completionTime="2026-11-28T10:00:00Z")

    printed = run("explain", "job").stdout

    shown = card(printed)
    assert all(line == line.rstrip() for line in printed.splitlines())
    assert shown.pop("since").startswith("2026-11-28T10:00:00Z, ")
    assert shown == {
        "job": "job  ✕ Failed",
        "reason": "ColumnNotFound: The data set lacks a column that is needed.",
        "what happened": "no column 'tag'",
        "what to do": "Name 'tags'.",
        "proof": "last line of the log: KeyError: 'tag'",
    }


def test_the_card_of_a_job_that_waits_has_the_event_that_proves_it(run: Run, api_server: FakeApi) -> None:
    ready = {
        "type": "Ready",
        "status": "False",
        "reason": "Unschedulable",
        "lastTransitionTime": "2026-11-28T10:00:00Z",
    }
    api_server.job("job", phase="Pending", message="no node has 8 GPUs", conditions=[ready])
    api_server.pod("pod", "Pending", {"waiting": {}})

    def events(request: Request) -> Any:
        about_pod = "name=pod" in request.query["fieldSelector"]
        event = {
            "reason": "FailedScheduling",
            "message": "0/3 nodes are available\x1b[2J",
            "lastTimestamp": "2026-11-28T10:01:00Z",
            "involvedObject": {"kind": "Pod", "name": "pod"},
        }
        return 200, {"items": [event] if about_pod else []}

    api_server.answers["GET", "/api/v1/namespaces/team-a/events"] = events

    result = run("explain", "job", "-o", "json")

    assert json.loads(result.stdout) == {
        "name": "job",
        "phase": "Pending",
        "reason": "Unschedulable",
        "meaning": "No node can take the pod.",
        "message": "no node has 8 GPUs",
        "remedy": "The message says what nodes lack (GPUs, memory, labels or tolerations), or which claim is not there: create it.",
        "since": "2026-11-28T10:00:00Z",
        "proof": "Event of 2026-11-28T10:01:00Z: Pod pod: FailedScheduling: 0/3 nodes are available",
    }


def test_who_may_not_read_events_has_the_card_all_the_same(run: Run, api_server: FakeApi) -> None:
    api_server.job("job", phase="Pending", message="no node has 8 GPUs")
    api_server.answers["GET", PODS] = lambda _: status(403, "Forbidden", "no")
    api_server.answers["GET", "/api/v1/namespaces/team-a/events"] = lambda _: status(403, "Forbidden", "no")

    result = run("explain", "job")

    shown = card(result.stdout)
    assert (result.exit_code, shown["what happened"]) == (0, "no node has 8 GPUs")
    assert shown["proof"] == "Events of the namespace are not for you to read (you need the right to list events)"

"""Lists of jobs, for people and for programs."""

import json

import pytest
from ruamel.yaml import YAML
from tests.unit.finetune.api_server import FTJ, FakeApi, status
from tests.unit.finetune_cli.conftest import Run
from tests.unit.finetune_cli.served_jobs import FAILURE, HOSTILE

pytestmark = pytest.mark.usefixtures("kubeconfig")


def test_the_list_begins_with_what_needs_a_person_then_the_newest(run: Run, api_server: FakeApi) -> None:
    api_server.job("done", phase="Succeeded", metrics=[{"name": "eval_f1", "value": "0.91234"}])
    not_moving = {
        "type": "Ready",
        "status": "False",
        "reason": "NotMoving",
        "lastTransitionTime": "2026-11-28T10:00:00Z",
    }
    api_server.job("stalled", phase="Running", conditions=[not_moving])
    api_server.job("failed", phase="Failed", failure=FAILURE)
    api_server.job(
        "runs",
        phase="Running",
        progress={"step": 1, "percent": 67, "etaSeconds": 540},
        curves={"training": {"steps": "1 2 3", "series": [{"name": "loss", "values": "3 2 1"}]}},
        usage={"gpuSeconds": {"total": 4320}, "until": "2026-11-28T10:00:00Z"},
        bestCheckpoint={"step": 1, "uri": "s3://x", "metric": "eval_accuracy", "value": "0.58101"},
    )
    api_server.job("new")
    api_server.jobs["new"]["metadata"]["creationTimestamp"] = "2026-11-28T11:00:00Z"

    result = run("get")

    lines = result.stdout.splitlines()
    assert result.exit_code == 0
    assert [line.split()[0] for line in lines] == ["NAME", "failed", "stalled", "new", "done", "runs"]
    assert "ColumnNotFound: no column 'tag'" in lines[1]
    assert "no operator has seen it yet" in lines[3]
    assert lines[4].split()[1:5] == ["✓", "Succeeded", "–", "f1"]
    for part in ("● Running", "██████░░░░  67 %  9m", "█▅▁", "accuracy 0.581", "1.2"):
        assert part in lines[5]


def test_where_there_is_no_terminal_each_job_is_one_whole_line(run: Run, api_server: FakeApi) -> None:
    message = "waits for quota " * 20
    api_server.job("a-name-of-sixty-three-characters-" + "x" * 30, phase="Queued", message=message)

    lines = run("get").stdout.splitlines()

    assert [line.split()[0] for line in lines] == ["NAME", "a-name-of-sixty-three-characters-" + "x" * 30]
    assert message.strip() in lines[1]


def test_what_comes_from_the_cluster_is_text(run: Run, api_server: FakeApi) -> None:
    job = api_server.job("job", phase="Queued", message=HOSTILE)
    job["metadata"]["name"] = HOSTILE

    shown = run("get").stdout

    assert "[red]evil[/red]" in shown
    assert not {"\x1b", "\x07", "\u202e"} & set(shown)


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_programs_get_the_objects_whole_and_nothing_that_a_terminal_obeys(
    run: Run, api_server: FakeApi, form: str
) -> None:
    job = api_server.job("job", phase="Running", message=HOSTILE, metrics=[{"name": "loss", "value": "5e-5"}])

    shown = {**job, "metadata": {**job["metadata"]}}
    job["metadata"]["managedFields"] = [{"manager": "finetune", "fieldsV1": {"f:spec": {}}}]

    one, every = run("get", "job", "-o", form).stdout, run("get", "-o", form).stdout

    read = json.loads if form == "json" else YAML(typ="safe").load
    assert read(one) == shown
    assert read(every) == {"apiVersion": "v1", "kind": "List", "items": [shown]}
    assert not {"\x1b", "\x07", "\u202e"} & set(one)


@pytest.mark.parametrize("command", ["get", "watch", "logs", "explain", "suspend", "rerun", "cancel", "download"])
def test_a_name_that_is_mistyped_is_answered_with_one_that_is_alike(
    run: Run, api_server: FakeApi, command: str
) -> None:
    for name in ("yelp-stars", "support-chat"):
        api_server.job(name)

    alike, other = run(command, "yelp-star"), run(command, "nothing-like-it")

    assert (alike.exit_code, other.exit_code) == (3, 3)
    assert (
        alike.stderr
        == 'finetunejobs.finetune.dev "yelp-star" not found in namespace team-a: did you mean yelp-stars?\n'
    )
    assert other.stderr == 'finetunejobs.finetune.dev "nothing-like-it" not found in namespace team-a\n'


@pytest.mark.parametrize("command", [("get",), ("get", "-o", "json"), ("get", "stars"), ("explain", "stars")])
def test_a_namespace_that_is_not_there_is_named(run: Run, api_server: FakeApi, command: tuple[str, ...]) -> None:
    api_server.answers["GET", FTJ.replace("team-a", "team-x")] = lambda _: (200, {"metadata": {}, "items": []})

    mistyped = run(*command, "-n", "team-x")
    api_server.rights = {("list", "finetunejobs"), ("get", "finetunejobs")}
    unseen = run(*command, "-n", "team-x")

    assert (mistyped.exit_code, mistyped.stderr) == (3, "there is no namespace team-x\n")
    assert "there is no namespace" not in unseen.stderr


def test_an_empty_list_names_the_first_command_to_type(run: Run) -> None:
    result = run("get")

    assert (result.exit_code, result.stdout) == (0, "")
    assert "finetune submit" in result.stderr


@pytest.mark.parametrize("code", [403, 429, 500, 503])
def test_an_empty_list_is_one_also_where_the_namespace_cannot_be_looked_at(
    run: Run, api_server: FakeApi, code: int
) -> None:
    api_server.answers["GET", "/api/v1/namespaces/team-a"] = lambda _: status(code, "", "not now")

    listed, for_programs = run("get"), run("get", "-o", "json")

    assert (listed.exit_code, listed.stdout, "finetune submit" in listed.stderr) == (0, "", True)
    assert (for_programs.exit_code, json.loads(for_programs.stdout)["items"], for_programs.stderr) == (0, [], "")


def test_several_jobs_are_shown_in_the_order_in_which_they_are_named(run: Run, api_server: FakeApi) -> None:
    jobs = [api_server.job(name, phase="Succeeded") for name in ("one", "two", "three")]

    shown, every = run("get", "two", "one"), run("get", "two", "one", "-o", "json")

    assert [line.split()[0] for line in shown.stdout.splitlines()] == ["NAME", "two", "one"]
    assert json.loads(every.stdout)["items"] == [jobs[1], jobs[0]]

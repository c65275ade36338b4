"""Each command: what it writes where, and how it ends."""

import io
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from tests.unit.finetune.api_server import FTJ, PODS, FakeApi, Request, status
from tests.unit.finetune_cli.conftest import Run

from finetune.client import Job
from finetune_cli import kubectl_completion
from finetune_cli.app import main
from finetune_cli.commands import COMMANDS

pytestmark = pytest.mark.usefixtures("kubeconfig")

MANIFEST = """\
apiVersion: finetune.dev/v1alpha1
kind: FineTuneJob
metadata: {name: job}
spec:
  task: text-classification
  runToken: 2026-11-28
  model: {source: org/model}
  dataset: {source: org/data, train: {split: train}}
  training: {learningRate: 5e-5}
"""
FAILURE = {"reason": "ColumnNotFound", "message": "no column 'tag'", "hint": "Name 'tags'."}
HOSTILE = "\x1b[31m[red]evil[/red]\u202e \x07[link=http://x]"


def since(*events: Any) -> Any:
    """A watch that brings these events."""
    return lambda _: iter([{"type": "MODIFIED", "object": each} for each in events])


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help_and_takes_json_or_yaml(run: Run, name: str) -> None:
    result = run(name, "--help")

    assert (result.exit_code, "--output" in result.output) == (0, True)


@pytest.mark.parametrize(
    "arguments",
    [(), ("nothing",), ("get", "--nothing"), ("watch",), ("get", "-o", "xml"), ("compare", "a"), ("compare", "a", "a")],
)
def test_a_wrong_command_line_is_usage(run: Run, arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("get", "job"),
        ("watch", "job"),
        ("logs", "job"),
        ("explain", "job"),
        ("compare", "job", "other"),
        ("suspend", "job"),
        ("resume", "job"),
        ("rerun", "job"),
        ("cancel", "job", "--yes"),
    ],
)
@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (status(404, "NotFound", 'finetunejobs.finetune.dev "job" not found'), 3),
        (status(403, "Forbidden", "User u cannot get finetunejobs"), 4),
        (status(503, "ServiceUnavailable", "starting"), 5),
    ],
)
def test_what_the_api_server_refuses_is_one_line_on_stderr_and_an_exit_code(
    run: Run, api_server: FakeApi, arguments: tuple[str, ...], answer: tuple[int, Any], code: int
) -> None:
    for path in (FTJ, f"{FTJ}/job", f"{FTJ}/other"):
        for method in ("GET", "PATCH", "DELETE"):
            api_server.answers[method, path] = lambda _: answer

    result = run(*arguments)

    assert (result.exit_code, result.stdout) == (code, "")
    assert answer[1]["message"] in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_without_a_kubeconfig_there_is_no_cluster(run: Run, tmp_path: Path) -> None:
    result = run("get", "--kubeconfig", str(tmp_path / "none"))

    assert (result.exit_code, "there is no kubeconfig at" in result.stderr) == (5, True)


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


def test_a_manifest_is_submitted_as_it_is_written(run: Run, api_server: FakeApi, tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(MANIFEST)

    result = run("submit", str(file))

    assert (result.exit_code, result.stdout) == (0, "job is submitted to namespace team-a\n")
    spec = api_server.jobs["job"]["spec"]
    assert (spec["training"], spec["runToken"]) == ({"learningRate": 5e-5}, "2026-11-28")


def test_several_manifests_come_from_stdin(run: Run, api_server: FakeApi) -> None:
    result = run("submit", "-", stdin=f"{MANIFEST}---\n{MANIFEST.replace('name: job', 'name: two')}")

    assert (result.exit_code, sorted(api_server.jobs)) == (0, ["job", "two"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "stdin is not YAML: line 1, column 2: expected the node content, but found '<stream end>'\n"),
        (
            "a: 1\na: 2\n",
            'stdin is not YAML: line 2, column 1: found duplicate key "a" with value "2" (original value: "1")\n',
        ),
        ("a: 1\nb: \x1b[2J\n", "stdin is not YAML: line 2: the character U+001B is not allowed\n"),
        ("", "holds no FineTuneJob"),
        ("kind: Pod\napiVersion: v1\n", "holds v1 Pod"),
        ("- 5\n", "holds a list"),
    ],
)
def test_what_is_no_manifest_is_not_submitted(run: Run, api_server: FakeApi, text: str, message: str) -> None:
    result = run("submit", "-", stdin=text)

    assert (result.exit_code, message in result.stderr, api_server.requests) == (2, True, [])


def test_a_manifest_that_is_refused_is_usage_in_the_servers_words(
    run: Run, api_server: FakeApi, tmp_path: Path
) -> None:
    api_server.answers["POST", FTJ] = lambda _: status(422, "Invalid", "spec.task: Unsupported value")
    file = tmp_path / "job.yaml"
    file.write_text(MANIFEST)

    result, of_file = run("submit", "-", stdin=MANIFEST), run("submit", str(file))

    assert (result.exit_code, result.stderr) == (2, "spec.task: Unsupported value\n")
    assert of_file.stderr.splitlines()[1] == f"`finetune validate {file}` shows every mistake at once"


def test_a_manifest_that_a_profile_refuses_is_checked_offline_with_that_profile(
    run: Run, api_server: FakeApi, tmp_path: Path
) -> None:
    message = "ValidatingAdmissionPolicy 'finetuneprofiles.finetune.dev' denied request: profile team-a: spec.image is not allowed"
    api_server.answers["POST", FTJ] = lambda _: status(422, "Invalid", message)
    file = tmp_path / "job.yaml"
    file.write_text(MANIFEST)

    told = run("submit", str(file)).stderr.splitlines()[1]

    assert told == (
        f"`finetune validate {file} --profile FILE`, with FineTuneProfile team-a in FILE, shows every mistake at once"
    )


def test_a_note_has_nothing_that_a_terminal_obeys(run: Run) -> None:
    result = run("submit", "-", stdin=f"{MANIFEST}  output: {{uri: 'file:///out%1B[2J'}}\n")

    assert result.stderr.startswith("note: spec.output.uri file:///out")
    assert "\x1b" not in result.stderr


def test_a_name_that_is_taken_comes_with_what_can_be_done(run: Run, api_server: FakeApi) -> None:
    api_server.answers["POST", FTJ] = lambda _: status(409, "AlreadyExists", 'finetunejobs "job" already exists')

    result = run("submit", "-", stdin=MANIFEST)

    assert (result.exit_code, result.stderr) == (
        2,
        'finetunejobs "job" already exists: `finetune rerun job` runs it anew, `finetune cancel job` deletes it; or choose another name\n',
    )


def test_a_manifest_that_is_not_there_is_not_found(run: Run) -> None:
    result = run("submit", "none.yaml")

    assert (result.exit_code, result.stderr) == (3, "there is no file none.yaml\n")


def test_several_jobs_are_shown_in_the_order_in_which_they_are_named(run: Run, api_server: FakeApi) -> None:
    jobs = [api_server.job(name, phase="Succeeded") for name in ("one", "two", "three")]

    shown, every = run("get", "two", "one"), run("get", "two", "one", "-o", "json")

    assert [line.split()[0] for line in shown.stdout.splitlines()] == ["NAME", "two", "one"]
    assert json.loads(every.stdout)["items"] == [jobs[1], jobs[0]]


def test_a_locale_without_the_characters_ends_no_command(
    run: Run, api_server: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = api_server.job("job", phase="Failed", message="größer — ✕")
    written = []
    for arguments in (["get"], ["get", "job", "-o", "json"], ["get", "job", "-o", "yaml"]):
        out = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding="latin-1"))
        monkeypatch.setattr(sys, "argv", ["finetune", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 0
        sys.stdout.flush()
        written.append(out.getvalue().decode("latin-1"))

    assert "? Failed" in written[0]
    assert json.loads(written[1]) == job
    assert YAML(typ="safe").load(written[2]) == job


@pytest.mark.parametrize("how", ["--wait", "--follow"])
def test_the_exit_code_of_a_job_that_is_waited_for_is_its_outcome(run: Run, api_server: FakeApi, how: str) -> None:
    api_server.answers["WATCH", FTJ] = lambda _: iter(
        [{"type": "MODIFIED", "object": api_server.job("job", phase="Succeeded", message="trained")}]
    )
    succeeded = run("submit", "-", how, stdin=MANIFEST)
    api_server.jobs.clear()
    api_server.answers["WATCH", FTJ] = lambda _: iter(
        [{"type": "MODIFIED", "object": api_server.job("job", phase="Failed", failure=FAILURE)}]
    )
    failed = run("submit", "-", how, stdin=MANIFEST)

    assert (succeeded.exit_code, succeeded.stderr) == (0, "")
    assert (failed.exit_code, failed.stderr) == (1, "ColumnNotFound: no column 'tag'\nName 'tags'.\n")


def test_following_where_there_is_no_terminal_writes_a_line_for_each_change(run: Run, api_server: FakeApi) -> None:
    api_server.job("job", phase="Running", message="step 1", progress={"step": 1, "percent": 10})
    again = json.loads(json.dumps(api_server.jobs["job"]))
    again["metadata"]["resourceVersion"] = "again"
    end = api_server.job("end", phase="Succeeded", message=HOSTILE)
    end["metadata"] = {**again["metadata"], "resourceVersion": "end"}
    api_server.answers["WATCH", FTJ] = since(again, end)

    result = run("watch", "job")

    assert (result.exit_code, result.stdout.splitlines()) == (
        0,
        ["job  Running  █░░░░░░░░░  10 %: step 1", "job  Succeeded: [red]evil[/red]� �[link=http://x]"],
    )


def test_following_for_programs_is_an_object_a_line(run: Run, api_server: FakeApi) -> None:
    first = json.loads(json.dumps(api_server.job("job", phase="Running")))

    def watch(_: Request) -> Any:
        return iter([{"type": "MODIFIED", "object": api_server.job("job", phase="Succeeded")}])

    api_server.answers["WATCH", FTJ] = watch

    result = run("watch", "job", "-o", "json")

    assert [json.loads(line) for line in result.stdout.splitlines()] == [first, api_server.jobs["job"]]


def test_waiting_that_takes_too_long_is_124(run: Run, api_server: FakeApi) -> None:
    api_server.job("job", phase="Running")

    def silent(_: Request) -> Any:
        time.sleep(1)
        return iter(())

    api_server.answers["WATCH", FTJ] = silent

    result = run("watch", "job", "--timeout", "0.05")

    assert (result.exit_code, "and goes on" in result.stderr) == (124, True)


@pytest.mark.parametrize("arguments", [("watch", "job"), ("submit", "-", "--wait"), ("logs", "-f", "job")])
def test_who_interrupts_is_told_that_the_job_goes_on(
    run: Run, api_server: FakeApi, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    def interrupt(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    for method in ("watch", "wait", "logs"):
        monkeypatch.setattr(Job, method, interrupt)
    if arguments[0] != "submit":
        api_server.job("job", phase="Running")

    result = run(*arguments, stdin=MANIFEST)

    assert (result.exit_code, result.stderr) == (130, "interrupted: job goes on; `finetune watch job` shows how\n")


def test_the_log_goes_to_stdout_and_what_the_job_waits_for_to_stderr(run: Run, api_server: FakeApi) -> None:
    api_server.job("job", phase="Succeeded")
    api_server.pod("one", "Succeeded", {"terminated": {}})
    api_server.answers["GET", f"{PODS}/one/log"] = lambda _: iter([b"2026-11-28T10:00:00Z [red]trained\n"])

    plain, timed, lines = run("logs", "job"), run("logs", "job", "--timestamps"), run("logs", "job", "-o", "json")

    assert (plain.stdout, plain.stderr) == ("[red]trained\n", "--- one\n")
    assert timed.stdout == "2026-11-28T10:00:00Z [red]trained\n"
    assert json.loads(lines.stdout) == {"pod": "one", "text": "[red]trained", "time": "2026-11-28T10:00:00Z"}


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


def test_runs_are_compared_by_what_differs_and_what_came_of_it(run: Run, api_server: FakeApi) -> None:
    for name, rate, accuracy, loss in (("a", 5e-5, "0.58", "1.2"), ("b", 3e-5, "0.61", "1.4")):
        api_server.job(
            name,
            {"task": "text-classification", "training": {"learningRate": rate, "epochs": 3}, "suspend": name == "b"},
            phase="Succeeded",
            metrics=[{"name": "eval_accuracy", "value": accuracy}, {"name": "eval_loss", "value": loss}],
            usage={"gpuSeconds": {"total": 3600}, "podSeconds": 7200, "until": "2026-11-28T10:00:00Z"},
            curves={"training": {"steps": "1 2", "series": [{"name": "loss", "values": "2 1"}]}},
        )

    shown, wire = run("compare", "a", "b").stdout, json.loads(run("compare", "a", "b", "-o", "json").stdout)

    assert wire == {
        "jobs": ["a", "b"],
        "settings": {"training.learningRate": {"a": 5e-5, "b": 3e-5}},
        "metrics": {"eval_accuracy": {"a": 0.58, "b": 0.61}, "eval_loss": {"a": 1.2, "b": 1.4}},
        "cost": {
            "GPU-hours": {"a": 1.0, "b": 1.0},
            "pod-hours": {"a": 2.0, "b": 2.0},
            "steps": {"a": None, "b": None},
            "phase": {"a": "Succeeded", "b": "Succeeded"},
        },
        "curves": {"a": {"loss": [[1, 2.0], [2, 1.0]]}, "b": {"loss": [[1, 2.0], [2, 1.0]]}},
    }
    rows = [line.split() for line in shown.splitlines()]
    assert ["eval_accuracy", "0.58", "0.61", "★"] in rows
    assert ["eval_loss", "1.2", "★", "1.4"] in rows
    assert shown.splitlines()[-1].split() == ["loss", "2", "█▁", "1", "2", "█▁", "1"]


def test_a_job_is_suspended_resumed_and_run_again(run: Run, api_server: FakeApi) -> None:
    api_server.job("job", phase="Running")

    codes = [run(*each, "job").exit_code for each in (["suspend"], ["resume"], ["rerun", "--token", "2"])]

    assert (codes, api_server.jobs["job"]["spec"]) == ([0, 0, 0], {"suspend": False, "runToken": "2"})


def test_a_job_is_cancelled_without_a_question_where_nobody_can_answer(run: Run, api_server: FakeApi) -> None:
    api_server.job("job", phase="Running")

    result = run("cancel", "job")

    assert (result.exit_code, api_server.jobs) == (0, {})


@pytest.mark.parametrize(("answer", "code", "left"), [("n\n", 1, ["job"]), ("y\n", 0, [])])
def test_on_a_terminal_cancel_asks_first(
    run: Run, api_server: FakeApi, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, left: list[str]
) -> None:
    monkeypatch.setattr(sys.modules["finetune_cli.commands.cancel"], "_on_a_terminal", lambda: True)
    api_server.job("job", phase="Running")

    result = run("cancel", "job", stdin=answer)

    assert (result.exit_code, [*api_server.jobs]) == (code, left)
    assert "its pods" in result.output


def test_the_shell_completes_names_of_jobs(api_server: FakeApi, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("yelp", "yelp-2", "chat"):
        api_server.job(name)
    monkeypatch.setenv("_FINETUNE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "finetune watch yel")
    monkeypatch.setenv("COMP_CWORD", "2")

    result = run()

    assert result.stdout.split() == ["yelp", "yelp-2"]


@pytest.mark.parametrize(
    ("words", "answer"), [(["su"], ["submit", "suspend", ":0"]), (["explain", "jo"], ["job", ":0"])]
)
def test_kubectl_completes_commands_and_names_of_jobs(
    api_server: FakeApi,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    answer: list[str],
) -> None:
    api_server.job("job", phase="Running")
    api_server.job("other", phase="Running")
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.setattr(sys, "argv", ["kubectl_complete-finetune", *words])

    with pytest.raises(SystemExit):
        kubectl_completion.main()

    assert capsys.readouterr().out.splitlines() == answer

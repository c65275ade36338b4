"""Rights cut down one by one: each command does with the fewest, and says which one it misses and what works without."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.finetune.api_server import FTJ, FakeApi, status
from tests.unit.finetune_cli.conftest import Run

from finetune import logs, watching

pytestmark = pytest.mark.usefixtures("kubeconfig")

STARS = {
    "apiVersion": "finetune.dev/v1alpha1",
    "kind": "FineTuneJob",
    "metadata": {"name": "stars"},
    "spec": {"task": "text-classification", "model": {"source": "hf://org/m"}, "dataset": {"source": "hf://org/d"}},
}
MANIFEST = yaml.safe_dump(STARS)
Rights = set[tuple[str, str]]


def on_jobs(*verbs: str) -> Rights:
    return {(verb, "finetunejobs") for verb in verbs}


def missing(verb: str, resource: str = "finetunejobs") -> str:
    return f'User "u" cannot {verb} resource "{resource}" in the namespace "team-a"'


@pytest.fixture(autouse=True)
def jobs(api_server: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that has trained, and one beside it."""
    monkeypatch.setattr(watching, "_POLL", 0.01)
    monkeypatch.setattr(logs, "_POLL", 0.01)
    attempt = {"number": 1, "pod": "job-0", "log": "pvc://claim/logs/job-0.log"}
    for name in ("job", "other"):
        api_server.job(name, phase="Succeeded", message="done", attempts=[attempt])
    api_server.pod("job-0", "Succeeded", {"terminated": {}})
    api_server.answers["GET", "/api/v1/namespaces/team-a/pods/job-0/log"] = _log(api_server)


def _log(api: FakeApi) -> Any:
    def answer(_: object) -> Any:
        allowed = api.rights is None or ("get", "pods/log") in api.rights
        return (200, b"a line\n") if allowed else status(403, "Forbidden", missing("get", "pods/log"))

    return answer


@pytest.mark.parametrize("verbs", [("get",), ("list",)])
@pytest.mark.parametrize(
    "command",
    [("get", "job"), ("watch", "job"), ("logs", "job"), ("logs", "-f", "job"), ("explain", "job"), ("compare", "job", "other")],
)  # fmt: skip
def test_what_shows_a_job_does_with_get_alone_or_with_list_alone(
    run: Run, api_server: FakeApi, command: tuple[str, ...], verbs: tuple[str, ...]
) -> None:
    api_server.rights = on_jobs(*verbs)

    assert run(*command).exit_code == 0


@pytest.mark.parametrize(
    ("command", "verb"),
    [(("suspend", "job"), "patch"), (("resume", "job"), "patch"), (("rerun", "job"), "patch"), (("submit", "-"), "create"), (("cancel", "job"), "delete")],
)  # fmt: skip
def test_what_changes_a_job_does_with_the_verb_alone(
    run: Run, api_server: FakeApi, command: tuple[str, ...], verb: str
) -> None:
    api_server.rights = on_jobs(verb)

    assert run(*command, stdin=MANIFEST).exit_code == 0


@pytest.mark.parametrize(
    ("command", "rights", "message"),
    [
        (
            ("get",),
            on_jobs("get"),
            f"{missing('list')}; `finetune get NAME` shows a job that you may get, `finetune get -n NAMESPACE` lists those of another namespace",
        ),
        (("get", "-A"), on_jobs("get"), f"{missing('list')}; `finetune get -n NAMESPACE` lists those of one namespace"),
        *(((each, "job"), set(), missing("get")) for each in ("get", "watch", "logs", "explain")),
        (("compare", "job", "other"), on_jobs("create"), missing("get")),
        *(((each, "job"), on_jobs("get", "list", "watch"), missing("patch")) for each in ("suspend", "resume", "rerun")),
        *((("cancel", "job"), on_jobs(*verbs), missing("delete")) for verbs in ((), ("get",))),
        (("cancel", "job", "-o", "json"), on_jobs("delete"), missing("get")),
        (("download", "job"), on_jobs("patch"), missing("get")),
        (("track", "job"), on_jobs("patch"), missing("get")),
        (("submit", "-"), on_jobs("get", "list", "watch"), missing("create")),
        (("submit", "-", "--follow"), on_jobs("create"), f"{missing('get')}; stars goes on all the same"),
        (("submit", "-", "--wait"), on_jobs("create"), f"{missing('get')}; stars goes on all the same"),
    ],
)  # fmt: skip
def test_a_right_that_is_missing_is_named_with_what_works_without(
    run: Run, api_server: FakeApi, command: tuple[str, ...], rights: Rights, message: str
) -> None:
    api_server.rights = rights

    result = run(*command, stdin=MANIFEST)

    assert (result.exit_code, result.stderr) == (4, f"{message}\n")


@pytest.mark.parametrize(
    "command",
    [
        ("get",), ("get", "-A"), ("get", "job"), ("watch", "job"), ("logs", "job"), ("explain", "job"), ("compare", "job", "other"),
        ("suspend", "job"), ("resume", "job"), ("rerun", "job"), ("cancel", "job"), ("download", "job"), ("track", "job"), ("submit", "-"),
    ],
)  # fmt: skip
def test_a_token_that_has_expired_is_one_line_that_says_to_log_in(
    run: Run, api_server: FakeApi, kubeconfig: Path, command: tuple[str, ...]
) -> None:
    every = [
        (method, path)
        for method in ("GET", "POST", "PATCH")
        for path in (FTJ, f"{FTJ}/job", f"{FTJ}/other", "/apis/finetune.dev/v1alpha1/finetunejobs")
    ]
    api_server.answers |= {each: lambda _: status(401, "Unauthorized", "Unauthorized") for each in every}

    result = run(*command, stdin=MANIFEST)

    whose = f"those of user u in {kubeconfig}, context here"
    said = f"Unauthorized: the cluster does not take the credentials, or no longer ({whose}): log in to it again\n"
    assert (result.exit_code, result.stderr) == (4, said)


@pytest.mark.parametrize(
    "command", [("submit", "-", "--follow"), ("submit", "-", "--wait"), ("watch", "stars"), ("logs", "-f", "stars")]
)
def test_a_token_that_expires_while_a_job_is_waited_for_leaves_the_job_and_says_so(
    run: Run, api_server: FakeApi, command: tuple[str, ...]
) -> None:
    api_server.job("stars", phase="Running")
    expired = status(401, "Unauthorized", "Unauthorized")
    # The first answer to whoever looks at it, and the job itself to whoever submits it.
    answers = iter([(200, api_server.jobs["stars"])])
    api_server.answers |= {
        ("GET", f"{FTJ}/stars"): lambda _: next(answers, expired),
        ("GET", FTJ): lambda _: expired,
        ("WATCH", FTJ): lambda _: expired,
    }

    result = run(*command, stdin=MANIFEST)

    assert result.exit_code == 4
    assert result.stderr.endswith(": log in to it again; stars goes on all the same\n")


def test_of_a_job_that_has_ended_nobody_says_that_it_goes_on(run: Run, api_server: FakeApi) -> None:
    answers = iter([(200, api_server.jobs["job"])])
    refused = status(403, "Forbidden", missing("get"))
    api_server.answers["GET", f"{FTJ}/job"] = lambda _: next(answers, refused)
    api_server.rights = set()

    assert run("logs", "-f", "job").stderr == f"{missing('get')}\n"


@pytest.mark.parametrize(
    ("rights", "shown", "said"),
    [
        ({("list", "pods"), ("get", "pods/log")}, "a line\n", "--- job-0\n"),
        ({("get", "pods/log")}, "a line\n", "--- job-0\n"),
        (
            {("list", "pods")},
            "",
            f"the log of pod job-0 is not for you: {missing('get', 'pods/log')}\nits log is stored at pvc://claim/logs/job-0.log\n",
        ),
    ],
)
def test_the_log_is_that_of_the_pod_or_the_one_that_is_stored(
    run: Run, api_server: FakeApi, rights: Rights, shown: str, said: str
) -> None:
    api_server.rights = on_jobs("get") | rights

    result = run("logs", "job")

    assert (result.exit_code, result.stdout, result.stderr) == (0, shown, said)


def test_of_several_jobs_those_before_the_one_that_is_refused_are_told(run: Run, api_server: FakeApi) -> None:
    second = {**STARS, "metadata": {"name": "job"}}
    api_server.answers["POST", FTJ] = lambda request: (
        status(409, "AlreadyExists", "job already exists")
        if request.body["metadata"]["name"] == "job"
        else (201, api_server.job("stars"))
    )
    both = yaml.safe_dump_all([STARS, second])

    plain = run("submit", "-", stdin=both)
    for_programs = run("submit", "-", "-o", "yaml", stdin=both)

    assert (plain.exit_code, plain.stdout) == (2, "stars is submitted to namespace team-a\n")
    assert [each["metadata"]["name"] for each in yaml.safe_load(for_programs.stdout)] == ["stars"]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (
            "suspend",
            "has ended: it is Succeeded. A run that `finetune rerun job` asks for waits for `finetune resume job`",
        ),
        ("resume", "has ended: it is Succeeded. `finetune rerun job` runs it anew"),
    ],
)
def test_a_job_that_has_ended_is_not_said_to_stop_or_to_go_on(run: Run, command: str, said: str) -> None:
    assert run(command, "job").stdout == f"job {said}\n"

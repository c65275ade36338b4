"""A manifest is submitted as it is written, or refused with what can be done."""

from pathlib import Path

import pytest
from tests.unit.finetune.api_server import FTJ, FakeApi, status
from tests.unit.finetune_cli.conftest import Run
from tests.unit.finetune_cli.served_jobs import MANIFEST

pytestmark = pytest.mark.usefixtures("kubeconfig")


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

"""`finetune validate` ends with 0 or 2, and says every problem, for people and for programs."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from finetune_cli.app import app

GOOD = Path("examples/quickstart.yaml")
PROFILE = """
apiVersion: finetune.dev/v1alpha1
kind: FineTuneProfile
metadata: {name: small}
spec:
  namespaces: {matchLabels: {team: a}}
  limits: {memory: 1Gi}
"""


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    path = tmp_path / "bad.yaml"
    path.write_text(GOOD.read_text().replace("epochs: 2", "epochs: 0").replace("batchSize", "batchsize"))
    return path


def test_valid_manifests_end_with_0() -> None:
    ended = CliRunner().invoke(app, ["validate", str(GOOD), "examples/lora.yaml"])

    assert (ended.exit_code, ended.stderr) == (0, "")
    assert ended.stdout.split() == ["examples/quickstart.yaml,", "examples/lora.yaml:", "valid"]


def test_every_problem_of_every_file_is_told_and_ends_with_2(bad: Path, tmp_path: Path) -> None:
    missing, broken = tmp_path / "missing.yaml", tmp_path / "broken.yaml"
    broken.write_text("a: 1\na: 2\n")

    ended = CliRunner().invoke(app, ["validate", str(bad), str(missing), str(broken), str(GOOD)])

    told = ended.stderr.splitlines()
    assert ended.exit_code == 2
    assert ended.stdout == ""
    assert told[0] == f"{bad}: quickstart: spec.training.epochs: should be greater than 0, not 0"
    assert told[1] == f"{bad}: quickstart: spec.training.batchsize: unknown field; did you mean batchSize?"
    assert told[2] == f"{missing}: there is no file {missing}"
    assert told[3].startswith(f"{broken}: is not YAML: ")


def test_programs_get_every_problem_as_json(bad: Path) -> None:
    ended = CliRunner().invoke(app, ["validate", str(bad), "-o", "json"])

    problem = {"file": str(bad), "job": "quickstart"}
    assert ended.exit_code == 2
    assert json.loads(ended.stdout) == {
        "valid": False,
        "jobs": 1,
        "notes": [],
        "problems": [
            {**problem, "field": "spec.training.epochs", "message": "should be greater than 0, not 0"},
            {**problem, "field": "spec.training.batchsize", "message": "unknown field; did you mean batchSize?"},
        ],
    }


def test_a_profile_is_checked_offline_and_its_namespaces_once_labels_are_given(tmp_path: Path) -> None:
    profile = tmp_path / "profile.yaml"
    profile.write_text(PROFILE)

    plain = CliRunner().invoke(app, ["validate", str(GOOD), "--profile", str(profile)])
    labelled = CliRunner().invoke(
        app, ["validate", str(GOOD), "--profile", str(profile), "-n", "b", "--namespace-label", "team=b"]
    )
    unlabelled = CliRunner().invoke(
        app, ["validate", str(GOOD), "--profile", str(profile), "--namespace-label", "team"]
    )

    memory = f"{GOOD}: quickstart: profile small: spec.resources.memory 4Gi is too much; limits.memory is 1Gi"
    assert (plain.exit_code, plain.stderr.splitlines()) == (2, [memory])
    assert labelled.stderr.splitlines() == [
        f"{GOOD}: quickstart: profile small: namespace b may not have this profile; namespaces has team=a",
        memory,
    ]
    assert unlabelled.exit_code == 2
    assert "team: must be KEY=VALUE" in unlabelled.stderr


def test_what_a_pod_does_not_see_is_noted_and_no_problem(tmp_path: Path) -> None:
    rows, file = tmp_path / "rows.csv", tmp_path / "job.yaml"
    rows.touch()
    file.write_text(GOOD.read_text().replace("pvc://quickstart/docstrings", rows.as_uri()))

    ended = CliRunner().invoke(app, ["validate", str(file)])
    for_programs = CliRunner().invoke(app, ["validate", str(file), "-o", "json"])

    note = f"{file}: spec.dataset.source file://{rows} is on this machine, and a pod of a cluster sees its own disk"
    assert (ended.exit_code, ended.stdout) == (0, f"{file}: valid\n")
    assert ended.stderr.startswith(f"note: {note}")
    assert [each["message"][:19] for each in json.loads(for_programs.stdout)["notes"]] == ["spec.dataset.source"]


def test_what_else_a_file_holds_is_noted_and_its_jobs_are_checked_all_the_same(bad: Path) -> None:
    secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s3}\n"
    bad.write_text(f"{secret}---\n{bad.read_text()}---\n{GOOD.read_text()}---\napiVersion: v1\nkind: Secret\n")

    ended = CliRunner().invoke(app, ["validate", str(bad)])
    for_programs = json.loads(CliRunner().invoke(app, ["validate", str(bad), "-o", "json"]).stdout)

    assert ended.exit_code == 2
    assert ended.stderr.splitlines() == [
        f"note: {bad}: s3: is a v1 Secret, and only FineTuneJobs are checked",
        f"note: {bad}: is a v1 Secret, and only FineTuneJobs are checked",
        f"{bad}: quickstart: spec.training.epochs: should be greater than 0, not 0",
        f"{bad}: quickstart: spec.training.batchsize: unknown field; did you mean batchSize?",
    ]
    assert (for_programs["valid"], for_programs["jobs"], len(for_programs["notes"])) == (False, 2, 2)


def test_jobs_beside_what_they_need_are_valid(tmp_path: Path) -> None:
    file = tmp_path / "all.yaml"
    file.write_text(f"{GOOD.read_text()}---\napiVersion: v1\nkind: Secret\nmetadata: {{name: s3}}\n")

    ended = CliRunner().invoke(app, ["validate", str(file)])

    assert (ended.exit_code, ended.stdout) == (0, f"{file}: valid\n")


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ("- a\n- b\n", "holds a list, and finetune.dev/v1alpha1 FineTuneJob was expected"),
        ("spec: {}\n", "holds an object of no kind, and finetune.dev/v1alpha1 FineTuneJob was expected"),
        (
            "apiVersion: v1\nkind: FinetuneJob\n",
            "holds v1 FinetuneJob, and finetune.dev/v1alpha1 FineTuneJob was expected",
        ),
        (
            "apiVersion: finetune.dev/v1\nkind: FineTuneJob\n",
            "holds finetune.dev/v1 FineTuneJob, and finetune.dev/v1alpha1 FineTuneJob was expected",
        ),
    ],
)
def test_what_no_cluster_takes_is_a_problem_beside_those_of_the_jobs(bad: Path, document: str, told: str) -> None:
    bad.write_text(f"{document}---\n{bad.read_text()}")

    ended = CliRunner().invoke(app, ["validate", str(bad)])

    assert ended.exit_code == 2
    assert ended.stderr.splitlines() == [
        f"{bad}: {told}",
        f"{bad}: quickstart: spec.training.epochs: should be greater than 0, not 0",
        f"{bad}: quickstart: spec.training.batchsize: unknown field; did you mean batchSize?",
    ]


def test_a_file_without_any_job_ends_with_2(tmp_path: Path) -> None:
    file = tmp_path / "secret.yaml"
    file.write_text("apiVersion: v1\nkind: Secret\nmetadata: {name: s3}\n")

    ended = CliRunner().invoke(app, ["validate", str(file)])

    assert ended.exit_code == 2
    assert ended.stderr.splitlines() == [
        f"note: {file}: s3: is a v1 Secret, and only FineTuneJobs are checked",
        f"{file}: holds no FineTuneJob",
    ]

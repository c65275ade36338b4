"""`finetune run` and `finetune estimate`: which manifest, where its claims are, and what programs get."""

import json
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from finetune.consent import Agree
from finetune.local import LocalFailure, LocalResult, LocalRun
from finetune_api.report import FinalReport
from finetune_cli import consent
from finetune_cli.app import app

QUICKSTART = Path("examples/quickstart.yaml").absolute()


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "files").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_manifest_whose_claims_are_not_known_here_is_refused() -> None:
    ended = CliRunner().invoke(app, ["run", str(QUICKSTART)])

    assert ended.exit_code == 2
    assert ended.stderr == (
        "spec.model.source is pvc://quickstart/minilm, on a claim of the cluster: say where its files are here, "
        "--volume quickstart=FOLDER\n"
    )


@pytest.mark.parametrize(
    ("volume", "message"),
    [("quickstart", "quickstart: must be CLAIM=FOLDER"), ("quickstart=none", "there is no folder none")],
)
def test_a_volume_that_is_none_is_refused(volume: str, message: str) -> None:
    ended = CliRunner().invoke(app, ["estimate", str(QUICKSTART), "--volume", volume])

    assert ended.exit_code == 2
    assert message in ended.stderr


def test_one_manifest_is_run_at_a_time(here: Path) -> None:
    two = here / "two.yaml"
    two.write_text(f"{QUICKSTART.read_text()}\n---\n{QUICKSTART.read_text()}")

    ended = CliRunner().invoke(app, ["run", str(two)])

    assert (ended.exit_code, ended.stderr) == (2, f"{two} holds 2 FineTuneJobs, and one is run at a time\n")


def test_programs_get_metrics_and_places_as_json(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[LocalRun] = []

    def train(run: LocalRun, **_: object) -> LocalResult:
        seen.append(run)
        return LocalResult(
            FinalReport.model_validate({"exitCode": 0, "metrics": [{"name": "eval_f1", "value": "0.5"}]}), run.output
        )

    monkeypatch.setattr(sys.modules["finetune_cli.commands.run"], "train", train)

    ended = CliRunner().invoke(app, ["run", str(QUICKSTART), "--volume", "quickstart=files", "-o", "json"])

    output = here / "outputs" / "quickstart"
    assert json.loads(ended.stdout) == {
        "metrics": {"eval_f1": 0.5},
        "output": str(output),
        "model": str(output / "model"),
        "resumedFromStep": None,
    }
    assert (seen[0].volumes, seen[0].config.gpus) == ({"quickstart": here / "files"}, 0)


def test_what_the_trainer_has_told_of_its_failure_is_not_told_again(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(*_: object, **__: object) -> LocalResult:
        raise LocalFailure("ColumnNotFound: no column 'tag'\ndid you mean 'tags'?", "the run failed: ColumnNotFound")

    monkeypatch.setattr(sys.modules["finetune_cli.commands.run"], "train", train)

    ended = CliRunner().invoke(app, ["run", str(QUICKSTART), "--volume", f"quickstart={here / 'files'}"])

    assert ended.exit_code == 1
    assert ended.stderr.splitlines()[-1] == "the run failed: ColumnNotFound"
    assert "no column" not in ended.stderr


@pytest.mark.parametrize(
    ("options", "terminal", "answer", "code"),
    [
        ([], False, "", 2),
        (["--trust", "other.example"], False, "", 2),
        (["--trust", "somebody-board.hf.space"], False, "", 0),
        ([], True, "y\n", 0),
        ([], True, "n\n", 1),
    ],
)
def test_a_stranger_s_manifest_gets_no_token_of_this_machine_without_consent(
    here: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], terminal: bool, answer: str, code: int
) -> None:
    sent = {"https://somebody-board.hf.space": ("HF_TOKEN",)}

    def train(run: LocalRun, *, agree: Agree, **_: object) -> LocalResult:
        agree(sent)
        return LocalResult(FinalReport.model_validate({"exitCode": 0}), run.output)

    monkeypatch.setattr(sys.modules["finetune_cli.commands.run"], "train", train)
    monkeypatch.setattr(consent, "_on_a_terminal", lambda: terminal)
    command = ["run", str(QUICKSTART), "--volume", f"quickstart={here / 'files'}", *options]

    ended = CliRunner().invoke(app, command, input=answer)

    assert ended.exit_code == code, ended.stderr
    assert ("HF_TOKEN of this machine's environment" in ended.stderr) is ("somebody-board.hf.space" not in options)
    assert code != 2 or "--trust somebody-board.hf.space agrees" in ended.stderr


def test_a_stranger_s_manifest_shows_no_other_server_than_the_one_that_is_asked_for(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = yaml.safe_load(QUICKSTART.read_text())
    job["spec"]["tracking"] = {"mlflow": {"uri": "https://evil.example/\x1b[2K\x1b[Ghttps://mine.example\u202e"}}
    job["spec"]["pod"] = {"image": "registry.example/\x1b[2Ktrainer"}
    (here / "job.yaml").write_text(yaml.safe_dump(job))
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "mine")
    monkeypatch.setattr(consent, "_on_a_terminal", lambda: True)

    ended = CliRunner().invoke(app, ["run", "job.yaml", "--volume", f"quickstart={here / 'files'}"], input="n\n")

    assert ended.exit_code == 1
    assert "its points sent to https://evil.example/https://mine.example\ufffd. Send it MLFLOW_TRACKING" in ended.stderr
    assert "\x1b" not in ended.stderr

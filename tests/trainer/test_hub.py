"""Models and data sets of the Hub: what is downloaded is trained on, and what is not there is told apart."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.made_once import made_once

from finetune_api.report import ExitCode


@pytest.fixture(scope="module")
def runs(model: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    found: dict[str, Any]
    found, _ = made_once(tmp_path_factory, "hub", lambda folder: run_all(model, data, folder))
    return found


def run_all(model: Path, data: Path, folder: Path) -> Any:
    shutil.copytree(model, folder / "model")
    shutil.copytree(data, folder / "data")
    script = Path(__file__).with_name("hub_runs.py")
    environment = {name: value for name, value in os.environ.items() if name not in ("HF_TOKEN", "HF_HUB_OFFLINE")}
    told = subprocess.run([sys.executable, script, folder], env=environment, stdout=subprocess.PIPE, check=True).stdout
    return json.loads(told.splitlines()[-1])


@pytest.mark.slow
def test_a_model_and_data_of_the_hub_are_trained_and_their_commit_is_reported(runs: dict[str, Any]) -> None:
    final = runs["good"]

    assert (final["exitCode"], final["progress"]["percent"]) == (0, 100)
    commit = "0123456789abcdef0123456789abcdef01234567"
    told = final["provenance"]
    assert (told["modelRevision"], told["datasetRevision"]) == (commit, commit)


@pytest.mark.parametrize(
    ("run", "code", "reason", "message"),
    [
        ("no model", ExitCode.MODEL, "ModelNotFound", "model org/none is not on the Hub, or is private"),
        ("gated model", ExitCode.MODEL, "ModelGated", "model org/gated is gated"),
        ("no such revision of the model", ExitCode.MODEL, "RevisionNotFound", "org/model has no revision 'v9'"),
        ("no model but data", ExitCode.MODEL, "ModelNotFound", "org/data has no config.json"),
        ("no data", ExitCode.DATA, "DatasetNotFound", "data set org/none is not on the Hub, or is private"),
        ("gated data", ExitCode.DATA, "DatasetGated", "data set org/gated is gated"),
        ("ragged", ExitCode.DATA, "FieldsDoNotFit", "train.csv, line 4: "),
        ("no configuration", ExitCode.DATA, "DatasetNameNeeded", "org/named"),
        ("no such revision of the data", ExitCode.DATA, "RevisionNotFound", "org/data has no revision 'v9'"),
        ("unreachable model", ExitCode.INTERNAL, "HubUnreachable", "model org/other: the Hub cannot be reached"),
        ("unreachable data", ExitCode.INTERNAL, "HubUnreachable", "data set org/other: the Hub cannot be reached"),
    ],
)
def test_what_the_hub_does_not_give_is_distinguished(
    runs: dict[str, Any], run: str, code: ExitCode, reason: str, message: str
) -> None:
    failure = runs[run]["failure"]

    assert (failure["exitCode"], failure["reason"]) == (code, reason)
    assert message in failure["message"]
    assert failure["hint"]


def test_csv_files_of_the_hub_are_read_as_they_are_written_and_those_that_are_not_read_are_reported(
    runs: dict[str, Any],
) -> None:
    final = runs["written"]

    assert final["exitCode"] == 0
    assert final["provenance"]["datasetRevision"] == "0123456789abcdef0123456789abcdef01234567"
    assert [label["name"] for label in final["preflight"]["classes"]] == ["007", "7"]
    assert any("not read: more.jsonl" in warning["message"] for warning in final["warnings"])


def test_data_that_was_downloaded_is_read_without_the_hub(runs: dict[str, Any]) -> None:
    assert runs["data that was downloaded"]["exitCode"] == 0

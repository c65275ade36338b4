"""From a data frame to a manifest: the frame is where the manifest says, and the manifest is valid."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from finetune import FineTuneJob
from finetune.errors import Refused
from finetune.proposal.sample import read_sample
from finetune.validation import Namespace, find_problems


@pytest.fixture
def frame() -> pd.DataFrame:
    reviews = [f"film number {number}" for number in range(40)]
    return pd.DataFrame({"review": reviews, "stars": [number % 5 for number in range(40)]})


def test_a_frame_becomes_parquet_in_a_folder_and_a_manifest_that_reads_it(frame: pd.DataFrame, tmp_path: Path) -> None:
    job = FineTuneJob.from_frame(
        frame, name="stars", to=tmp_path, label="stars", training={"epochs": 1, "batch_size": 4}
    )

    manifest = job.to_manifest()
    spec = manifest["spec"]
    written = read_sample(tmp_path / "stars.parquet")
    assert find_problems(manifest, "", None, Namespace("default", None)) == []
    assert written.columns == frame.to_dict("list")
    assert (spec["task"], spec["dataset"]["source"]) == ("text-classification", (tmp_path / "stars.parquet").as_uri())
    assert spec["dataset"]["columns"] == {"text": "review", "label": "stars"}
    assert (spec["training"]["epochs"], spec["training"]["batchSize"]) == (1, 4)


def test_a_folder_may_be_named_as_the_manifest_names_it(frame: pd.DataFrame, tmp_path: Path) -> None:
    job = FineTuneJob.from_frame(frame, name="stars", to=(tmp_path / "of the team").as_uri())

    assert job.spec.dataset.source == (tmp_path / "of the team" / "stars.parquet").as_uri()
    assert (tmp_path / "of the team" / "stars.parquet").exists()


def test_the_model_may_be_named_as_the_manifest_has_it(frame: pd.DataFrame, tmp_path: Path) -> None:
    model = {"source": "org/base", "revision": "v1"}

    sourced = FineTuneJob.from_frame(frame, name="stars", to=tmp_path, model="org/base")
    given = FineTuneJob.from_frame(frame, name="stars", to=tmp_path, model=model)

    assert sourced.spec.model.source == given.spec.model.source == "org/base"
    assert given.spec.model.revision == "v1"
    with pytest.raises(Refused, match="model"):
        FineTuneJob.from_frame(frame, name="stars", to=tmp_path, model={"sauce": "org/base"})


def test_a_folder_may_be_named_from_the_one_that_one_is_in(
    frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")

    job = FineTuneJob.from_frame(frame, name="stars", to="../of the team")

    assert job.spec.dataset.source == (tmp_path / "of the team" / "stars.parquet").as_uri()


@pytest.mark.parametrize(("gpus", "cpu", "memory"), [(0, "2", "8Gi"), (2, "4", "16Gi")])
def test_a_pod_has_the_size_that_fits_its_gpus(
    frame: pd.DataFrame, tmp_path: Path, gpus: int, cpu: str, memory: str
) -> None:
    job = FineTuneJob.from_frame(frame, name="stars", to=tmp_path, resources={"gpus": gpus})

    resources = job.spec.resources
    assert (resources.gpus, resources.cpu, resources.memory) == (gpus, cpu, memory)


def test_a_frame_for_a_claim_is_written_where_that_is_mounted(frame: pd.DataFrame, tmp_path: Path) -> None:
    job = FineTuneJob.from_frame(frame, name="stars", to="pvc://data/team", mounted=tmp_path)

    assert job.spec.dataset.source == "pvc://data/team/stars.parquet"
    assert (tmp_path / "team" / "stars.parquet").exists()


def test_a_frame_for_a_bucket_is_written_there(frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Any] = []
    monkeypatch.setattr(pd.DataFrame, "to_parquet", lambda self, place, index: written.append((place, index)))

    job = FineTuneJob.from_frame(frame, name="stars", to="s3://bucket/data/")

    assert job.spec.dataset.source == "s3://bucket/data/stars.parquet"
    assert written == [("s3://bucket/data/stars.parquet", False)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"text": "body"}, "there is no column body in the frame; there are review, stars"),
        ({"task": "seq2seq"}, "no columns of the frame fit: there are review, stars; name text and label"),
        ({"to": "pvc://data"}, "pvc://data is a claim of the cluster: name the folder where it is mounted here"),
        ({"to": "hf://datasets/ada/stars"}, "hf://datasets/ada/stars cannot be written: name a folder of this machine"),
        ({"training": {"epochs": 0}}, "training.epochs: Input should be greater than 0"),
    ],
)
def test_what_cannot_be_trained_on_is_refused_and_nothing_is_written(
    frame: pd.DataFrame, tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(Refused) as refused:
        FineTuneJob.from_frame(frame, **{"name": "stars", "to": tmp_path, **arguments})

    assert message in str(refused.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("own", "section", "expected"),
    [
        pytest.param({"output": {"uri": "s3://bucket/run"}}, "output", {"uri": "s3://bucket/run"}, id="a place"),
        pytest.param(
            {"evaluation": {"metrics": ["accuracy"]}},
            "evaluation",
            {"metrics": ["accuracy"]},
            id="metrics without the best",
        ),
        pytest.param(
            {"evaluation": {"metrics": ["f1"]}},
            "evaluation",
            {"metrics": ["f1"], "bestMetric": "f1"},
            id="metrics with it",
        ),
        pytest.param(
            {"evaluation": {"best_metric": "precision"}},
            "evaluation",
            {"metrics": ["accuracy", "f1", "precision"], "bestMetric": "precision"},
            id="another best metric",
        ),
        pytest.param({"dataset": {"evaluation": None}}, "evaluation", {}, id="nothing to evaluate"),
    ],
)
def test_what_is_proposed_and_does_not_go_with_ones_own_fields_is_left_out(
    frame: pd.DataFrame, tmp_path: Path, own: dict[str, Any], section: str, expected: dict[str, Any]
) -> None:
    job = FineTuneJob.from_frame(frame, name="stars", to=tmp_path, **own)

    manifest = job.to_manifest()
    assert manifest["spec"].get(section, {}) == expected
    assert find_problems(manifest, "", None, Namespace("default", None)) == []


@pytest.mark.parametrize("metrics", [5, "f1", {"f1": True}])
def test_metrics_that_are_no_list_are_refused_by_their_field(frame: pd.DataFrame, tmp_path: Path, metrics: Any) -> None:
    with pytest.raises(Refused, match=r"evaluation\.metrics"):
        FineTuneJob.from_frame(frame, name="stars", to=tmp_path, evaluation={"metrics": metrics})


def test_fewer_rows_are_rows_of_the_same_split(frame: pd.DataFrame, tmp_path: Path) -> None:
    rows = {"train": {"samples": 8}, "evaluation": {"samples": 2}}

    dataset = FineTuneJob.from_frame(frame, name="stars", to=tmp_path, dataset=rows).spec.dataset

    assert dataset.evaluation is not None
    assert (dataset.train.split, dataset.train.samples) == ("train[:90%]", 8)
    assert (dataset.evaluation.split, dataset.evaluation.samples) == ("train[90%:]", 2)


def test_missing_values_lists_and_numbers_of_numpy_are_read_as_pythons_own(tmp_path: Path) -> None:
    pd.DataFrame({"tokens": [["Ada", "wrote"], ["it"]], "tags": [[1, 0], [0]]}).to_parquet(tmp_path / "read.parquet")

    job = FineTuneJob.from_frame(pd.read_parquet(tmp_path / "read.parquet"), name="names", to=tmp_path)

    assert job.spec.task == "token-classification"


def test_anything_else_than_a_frame_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="a pandas data frame was expected, not list"):
        FineTuneJob.from_frame([1], name="x", to=tmp_path)

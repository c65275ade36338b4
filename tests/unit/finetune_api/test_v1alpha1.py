"""What pydantic refuses, so that the trainer on a laptop and the operator refuse what the API server refuses."""

from typing import Any

import pytest
from pydantic import ValidationError

from finetune_api.run import RunConfig
from finetune_api.v1alpha1 import FineTuneJobSpec

SPEC: dict[str, Any] = {
    "task": "text-classification",
    "model": {"source": "google-bert/bert-base-cased"},
    "dataset": {"source": "Yelp/yelp_review_full", "train": {"split": "train"}, "evaluation": {"split": "test"}},
}


@pytest.mark.parametrize(
    "source",
    [
        "bert-base-cased",
        "google-bert/bert-base-cased",
        "hf://google-bert/bert-base-cased",
        "file:///models/bert",
        "pvc://claim",
        "pvc://claim/a/b.csv",
        "s3://bucket",
        "s3://bucket/x/y",
        "gs://bucket/x",
        "az://container/x",
        "https://host/data.csv",
    ],
)
def test_a_source_is_a_hub_id_a_file_or_a_claim(source: str) -> None:
    assert FineTuneJobSpec.model_validate({**SPEC, "model": {"source": source}}).model.source == source


@pytest.mark.parametrize(
    "source",
    [
        "",
        "s3://key:secret@bucket/x",
        "s3:///x",
        "s3://bucket/../x",
        "http://host/x",
        "/models/bert",
        "file://host/x",
        "pvc://Claim/x",
        "pvc://a/../b",
        "a/b/c",
        "a b",
        "a/b\n",
    ],
)
def test_any_other_source_is_refused_with_the_forms_that_are_taken(source: str) -> None:
    with pytest.raises(ValidationError, match=r"must be a Hugging Face Hub id \(org/name\), file:///"):
        FineTuneJobSpec.model_validate({**SPEC, "model": {"source": source}})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"evaluation": {"strategy": "steps"}}, "steps is required with strategy 'steps'"),
        ({"checkpoints": {"steps": 10}}, "steps is required with strategy 'steps'"),
        ({"evaluation": {"metrics": ["accuracy"], "bestMetric": "f1"}}, "bestMetric must be 'loss' or one of metrics"),
        (
            {"evaluation": {"bestMetric": "loss"}, "checkpoints": {"strategy": "steps", "steps": 5}},
            "evaluation.bestMetric needs dataset.evaluation",
        ),
        ({"preprocessing": {"padding": "max_length"}}, "needs preprocessing.maxLength"),
        ({"output": {"uri": "pvc://a/b", "size": "1Gi"}}, "leave them out, or leave out uri"),
        ({"evaluation": {"patience": 2}}, "patience needs bestMetric"),
        (
            {"dataset": {"source": "a", "train": {"split": "train"}}, "evaluation": {"metrics": ["accuracy"]}},
            "evaluation.metrics need dataset.evaluation",
        ),
        ({"evaluation": {"metrics": ["rouge1"]}}, "metrics of text-classification are accuracy, "),
        ({"evaluation": {"bestMetric": "rouge1"}}, "metrics of text-classification are accuracy, "),
        (
            {"model": {"source": "a", "problemType": "regression"}, "evaluation": {"metrics": ["accuracy"]}},
            "metrics of regression are pearsonr, spearmanr, mse, mae",
        ),
        ({"task": "causal-lm", "model": {"source": "a", "problemType": "regression"}}, "is for text-classification"),
        ({"preprocessing": {"packing": True}}, "preprocessing.packing is for causal-lm"),
        ({"preprocessing": {"sourcePrefix": "x"}}, "preprocessing.sourcePrefix is for seq2seq"),
        ({"training": {"engine": "keras", "lora": {}}}, "engine 'keras' trains text-classification, without lora"),
        ({"training": {"engine": "keras"}, "resources": {"nodes": 2}}, "engine 'keras' trains on one device"),
        ({"resources": {"gpus": 2, "processesPerNode": 2}}, "processesPerNode is for training on the CPU"),
        ({"output": {"uri": "s3://key:secret@bucket/a"}}, "must be pvc://claim/path, s3://, gs://"),
        ({"output": {"uri": "hf://datasets/name"}}, "or hf://org/name, without"),
        ({"resources": {"cpu": "lots"}}, "must be a Kubernetes quantity"),
        ({"pod": {"env": [{"name": "A", "value": "b", "valueFrom": {}}]}}, "exactly one of secretKeyRef"),
        ({"pod": {"env": [{"name": "FINETUNE_A", "value": "b"}]}}, "set by the operator"),
        ({"pod": {"labels": {"finetune.dev/job-name": "b"}}}, "set by the operator"),
        ({"pod": {"labels": {"a b": "c"}}}, "take keys such as example.com/name"),
        ({"training": {"epochs": float("nan")}}, "finite number"),
    ],
)
def test_fields_that_do_not_go_together_are_refused_with_the_remedy(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        FineTuneJobSpec.model_validate({**SPEC, **change})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"training": {"epochs": "3"}}, "should be a number, not the text '3'"),
        ({"training": {"batchSize": "8"}}, "should be a whole number, not the text '8'"),
        ({"training": {"lora": {"merge": "true"}}}, "should be true or false, not the text 'true'"),
        ({"training": {"batchSize": True}}, "should be a whole number, not true"),
        ({"training": {"epochs": True}}, "should be a number, not true"),
        ({"preprocessing": {"truncation": 1}}, "should be true or false, not 1"),
    ],
)
def test_a_value_of_another_type_is_refused_as_by_the_api_server(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        FineTuneJobSpec.model_validate({**SPEC, **change})


def test_null_leaves_a_field_or_a_section_out() -> None:
    nulls = {"training": None, "evaluation": {"strategy": None}, "pod": {"labels": {"a": None}, "image": None}}

    assert FineTuneJobSpec.model_validate({**SPEC, **nulls}) == FineTuneJobSpec.model_validate(SPEC)


def test_the_digest_of_a_run_changes_with_what_shapes_the_result_and_with_nothing_else() -> None:
    here = RunConfig.model_validate({**SPEC, "output": {"uri": "file:///tmp/a"}})
    elsewhere = RunConfig.model_validate({**SPEC, "output": {"uri": "pvc://claim"}, "gpus": 0})
    longer = RunConfig.model_validate({**SPEC, "output": {"uri": "file:///tmp/a"}, "training": {"epochs": 4}})

    assert here.digest() == elsewhere.digest()
    assert here.digest() != longer.digest()


def test_a_run_is_reported_by_what_is_not_as_by_default_so_that_other_versions_read_and_resume_it() -> None:
    plain = RunConfig.model_validate({**SPEC, "output": {"uri": "pvc://claim"}})
    every_default_named = plain.model_dump()

    assert RunConfig.model_validate(every_default_named).digest() == plain.digest()
    assert RunConfig.model_validate(every_default_named).to_file() == {
        "apiVersion": "finetune.dev/v1alpha1", "kind": "RunConfig", **SPEC, "output": {"uri": "pvc://claim"},
    }  # fmt: skip
    # Of SPEC as it is: a version that has another one resumes no run of the versions before.
    assert plain.digest() == "sha256:decce3fc48525d821ec71eba5c06601ed5185570ebb604b97e78d8256babeb91"

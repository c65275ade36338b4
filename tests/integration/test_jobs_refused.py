"""Wrong manifests are refused at `kubectl apply`, with the field and the remedy named."""

import json
from typing import Any

import pytest
from tests.integration.fixtures import Space, finetunejob
from tests.unit.finetune_api import wrong_specs

from devcluster.cluster import Cluster
from devcluster.testing.api import Answer, Api

DATA: dict[str, Any] = {"source": "pvc://seed/data", "train": {"split": "train"}}
WRONG: list[tuple[str, dict[str, Any], str, str]] = [
    ("a task that is not there", {"task": "sorting"}, "spec.task", '"text-classification"'),
    ("no task", {"task": None}, "spec.task", "equired"),
    ("no model", {"model": None}, "spec.model", "equired"),
    ("a model without a source", {"model": {}}, "spec.model.source", "equired"),
    ("a source with spaces", {"model": {"source": "a model"}}, "spec.model.source", "Hugging Face Hub id"),
    ("a source that climbs out", {"model": {"source": "pvc://c/../x"}}, "spec.model.source", "without '..'"),
    ("a scheme that is not there", {"dataset": {**DATA, "source": "ftp://b/x"}}, "spec.dataset.source", "s3://"),
    ("a password in a source", {"dataset": {**DATA, "source": "https://me:pass@host/x.csv"}}, "spec.dataset.source", "https://host/file"),
    ("data without a training split", {"dataset": {"source": "org/name"}}, "spec.dataset.train", "equired"),
    ("no rows", {"dataset": {**DATA, "train": {"split": "train", "samples": 0}}}, "spec.dataset.train.samples", "1"),
    ("an engine that is not there", {"training": {"engine": "jax"}}, "spec.training.engine", '"trainer"'),
    ("an engine that does not know the task", {"task": "causal-lm", "training": {"engine": "keras"}}, "spec.training.engine", "trains text-classification"),
    ("an adapter of no rank", {"training": {"lora": {"rank": 0}}}, "spec.training.lora.rank", "1"),
    ("no epochs", {"training": {"epochs": 0}}, "spec.training.epochs", "0"),
    ("epochs in words", {"training": {"epochs": "three"}}, "spec.training.epochs", "string"),
    ("half a batch", {"training": {"batchSize": 0.5}}, "spec.training.batchSize", "integer"),
    ("a learning rate that is too high", {"training": {"learningRate": 5}}, "spec.training.learningRate", "1"),
    ("a field with a typing error", {"training": {"epoch": 3}}, "spec.training.epoch", "not declared in schema"),
    ("padding without a length", {"preprocessing": {"padding": "max_length"}}, "preprocessing", "maxLength"),
    ("packing of what is no language model", {"preprocessing": {"packing": True}}, "spec.preprocessing.packing", "is for causal-lm"),
    ("steps without a strategy", {"checkpoints": {"steps": 10}}, "spec.checkpoints", "strategy 'steps'"),
    ("a strategy without steps", {"evaluation": {"strategy": "steps"}}, "spec.evaluation", "steps is required"),
    ("a metric that is not there", {"evaluation": {"metrics": ["bleu"]}}, "spec.evaluation.metrics", '"accuracy"'),
    ("a metric of another problem", {"model": {"source": "a", "problemType": "regression"}}, "spec.evaluation.metrics", "pearsonr"),
    ("a best metric that is not computed", {"evaluation": {"metrics": ["recall"], "bestMetric": "f1"}}, "spec.evaluation", "one of metrics"),
    ("a best metric without evaluation rows", {"dataset": DATA}, "evaluation.bestMetric", "dataset.evaluation"),
    ("more checkpoints than fit", {"checkpoints": {"keep": 99}}, "spec.checkpoints.keep", "16"),
    ("a metric of another task", {"task": "seq2seq"}, "spec.evaluation.metrics", "metrics of seq2seq are rouge1"),
    ("patience for nothing", {"evaluation": {"metrics": ["accuracy"], "patience": 2}}, "spec.evaluation.patience", "needs bestMetric"),
    ("an output of no known kind", {"output": {"uri": "ftp://b/x"}}, "spec.output.uri", "pvc://claim/path"),
    ("keys in an output", {"output": {"uri": "s3://key:secret@b/x"}}, "spec.output.uri", "s3://"),
    ("a size for a claim that is there", {"output": {"uri": "pvc://c/x", "size": "1Gi"}}, "spec.output", "leave"),
    ("more GPUs than a node has", {"resources": {"gpus": 65}}, "spec.resources.gpus", "64"),
    ("no nodes", {"resources": {"nodes": 0}}, "spec.resources.nodes", "1"),
    ("processes beside those of the GPUs", {"resources": {"gpus": 2, "processesPerNode": 2}}, "spec.resources.processesPerNode", "each has one process"),
    ("many nodes for an engine of one device", {"training": {"engine": "keras"}, "resources": {"gpus": 1, "nodes": 2}}, "spec.resources", "one device"),
    ("memory in words", {"resources": {"memory": "plenty"}}, "spec.resources.memory", "plenty"),
    ("a variable of ours", {"pod": {"env": [{"name": "FINETUNE_X", "value": "1"}]}}, "spec.pod.env", "set by the operator"),
    ("a variable with two values", {"pod": {"env": [{"name": "A", "value": "1", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}}, "spec.pod.env", "not both"),
    ("a label of ours", {"pod": {"labels": {"finetune.dev/job-uid": "x"}}}, "pod.labels", "set by the operator"),
    ("retries below none", {"runPolicy": {"backoffLimit": -1}}, "spec.runPolicy.backoffLimit", "0"),
]  # fmt: skip


@pytest.fixture(scope="module")
def default(finetune_crd: Cluster) -> Space:
    return Space(finetune_crd, "default")


@pytest.mark.parametrize(("spec", "field", "remedy"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_a_wrong_manifest_is_refused_and_the_field_is_named(
    default: Space, spec: dict[str, Any], field: str, remedy: str
) -> None:
    manifest = finetunejob("wrong", **spec)
    manifest["spec"] = {name: value for name, value in manifest["spec"].items() if value is not None}

    answer = default.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(manifest), check=False)

    assert "serverside-applied" not in answer
    assert field in answer
    assert remedy in answer


@pytest.mark.slow
def test_each_rule_refuses_its_wrong_specs_and_takes_their_neighbours(finetune_crd: Cluster, api: Api) -> None:
    def answer(spec: dict[str, Any]) -> Answer:
        path = "/apis/finetune.dev/v1alpha1/namespaces/default/finetunejobs?dryRun=All&fieldValidation=Strict"
        return api("POST", path, {**finetunejob("any"), "spec": spec})

    refused = [answer(wrong.spec) for wrong in wrong_specs.WRONG]
    taken = [answer(wrong.right) for wrong in wrong_specs.WRONG]

    assert [each.body["message"] for each in taken if each.code != 201] == []
    assert [
        (wrong.message, each.body)
        for wrong, each in zip(wrong_specs.WRONG, refused, strict=True)
        if each.code != 422 or not all(wrong.message in cause["message"] for cause in each.body["details"]["causes"])
    ] == []


@pytest.mark.parametrize(
    "change",
    [
        {"training": {"epochs": 9}},
        {"model": {"source": "pvc://seed/other"}},
        {"dataset": {"train": {"samples": 5}}},
        {"resources": {"gpus": 1}},
        {"pod": {"image": "other:1"}},
        {"output": {"size": "20Gi"}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_shapes_a_run_cannot_be_changed(default: Space, change: dict[str, Any]) -> None:
    default.apply(finetunejob("fixed", suspend=True))

    answer = default.kubectl("patch", "ftj", "fixed", "--type=merge", "-p", json.dumps({"spec": change}), check=False)

    assert f"spec.{next(iter(change))}: " in answer
    assert "immutable" in answer
    assert "runToken" in answer
    assert "create a job under another name" in answer
    assert "another output.uri" in answer


def test_suspension_and_limits_can_be_changed(default: Space) -> None:
    default.apply(finetunejob("fixed", suspend=True))

    default.patch("fixed", {"suspend": False, "runPolicy": {"activeDeadlineSeconds": 60}})
    spec = default.get("ftj", "fixed")["spec"]
    default.kubectl("delete", "ftj", "fixed")

    assert spec["suspend"] is False
    assert spec["runPolicy"]["activeDeadlineSeconds"] == 60

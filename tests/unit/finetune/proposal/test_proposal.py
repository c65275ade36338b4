"""From rows to a manifest: each shape of data gets its task, and every manifest is one that a cluster takes."""

import itertools
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from tests.unit.finetune.proposal.rows import CHAT, ROWS, each, prose

from finetune.manifest import read_manifests
from finetune.proposal.columns import find_shape
from finetune.proposal.propose import Request, propose
from finetune.proposal.sample import Sample
from finetune.proposal.to_yaml import proposal_yaml
from finetune.validation import Namespace, find_problems


@dataclass(frozen=True)
class Case:
    """Columns of a table, and what is made of them."""

    name: str
    columns: dict[str, list[Any]]
    expected: dict[str, Any]
    """Fields of the spec by their paths."""
    left_out: tuple[str, ...] = field(default=())
    """Paths of fields that must not be there."""


SHARED = [{"from": "human", "value": "What?"}, {"from": "gpt", "value": "That."}]
CASES: Final = [
    Case(
        "classes",
        {"id": list(range(ROWS)), "review": prose(), "stars": each(1, 2, 3)},
        {
            "task": "text-classification",
            "dataset.columns": {"text": "review", "label": "stars"},
            "dataset.train.split": "train[:90%]",
            "dataset.evaluation.split": "train[90%:]",
            "evaluation.bestMetric": "f1",
            "preprocessing.maxLength": 32,
        },
    ),
    Case(
        "usual names", {"text": prose(), "label": each("a", "b")}, {"task": "text-classification"}, ("dataset.columns",)
    ),
    Case(
        "words that repeat are a label, whatever their name",
        {"what": prose(), "kind": each("bug", "wish", "praise")},
        {"task": "text-classification", "dataset.columns": {"text": "what", "label": "kind"}},
    ),
    Case(
        "sorted by class",
        {"text": prose(), "label": ["a"] * 20 + ["b"] * 20},
        {"dataset.train.split": "train"},
        ("dataset.evaluation", "evaluation"),
    ),
    Case(
        "pairs",
        {"premise": prose(), "hypothesis": prose("another"), "label": each(0, 1)},
        {"task": "text-classification", "dataset.columns": {"text": "premise", "textPair": "hypothesis"}},
    ),
    Case(
        "numbers",
        {"text": prose(), "score": each(0.5, 1.25, 3.0)},
        {
            "task": "text-classification",
            "model.problemType": "regression",
            "evaluation.bestMetric": "pearsonr",
        },
    ),
    Case(
        "numbers in quotes",
        {"text": prose(), "label": each("0.5", "1.25", "3")},
        {"task": "text-classification", "model.problemType": "regression", "evaluation.bestMetric": "pearsonr"},
    ),
    Case(
        "numbers in quotes, hardly one twice",
        {"text": prose(), "target": [f"{number / 8}" for number in range(40)]},
        {"task": "text-classification", "model.problemType": "regression"},
    ),
    Case(
        "whole numbers in quotes are classes",
        {"text": prose(), "label": each("1", "2")},
        {"task": "text-classification"},
        ("model.problemType",),
    ),
    Case(
        "several classes a row",
        {"text": prose(), "labels": each(["a"], ["a", "b"], [])},
        {"task": "text-classification", "dataset.columns": {"label": "labels"}},
        ("model.problemType",),
    ),
    Case(
        "tags",
        {"tokens": each(["Ada", "wrote"], ["it"]), "ner_tags": each([1, 0], [0])},
        {"task": "token-classification", "dataset.columns": {"tags": "ner_tags"}, "evaluation.bestMetric": "f1"},
    ),
    Case(
        "chats",
        {"messages": each(CHAT)},
        {"task": "causal-lm", "dataset.format": "messages", "model.source": "Qwen/Qwen2.5-0.5B-Instruct"},
        ("dataset.columns",),
    ),
    Case(
        "chats under another name",
        {"dialog": each(CHAT)},
        {"task": "causal-lm", "dataset.format": "messages", "dataset.columns": {"messages": "dialog"}},
    ),
    Case("shared chats", {"conversations": each(SHARED)}, {"task": "causal-lm", "dataset.format": "sharegpt"}),
    Case(
        "instructions",
        {"instruction": prose(), "input": prose(), "output": prose()},
        {"task": "causal-lm", "dataset.format": "alpaca"},
        ("dataset.columns",),
    ),
    Case(
        "prompts",
        {"question": prose(), "answer": prose(" because")},
        {
            "task": "causal-lm",
            "dataset.format": "prompt-completion",
            "dataset.columns": {"prompt": "question", "completion": "answer"},
        },
    ),
    Case(
        "translation in one column",
        {"translation": each({"en": "a house", "fr": "une maison"})},
        {
            "task": "seq2seq",
            "dataset.columns": {"text": "translation.en", "target": "translation.fr"},
            "preprocessing.sourcePrefix": "translate English to French: ",
            "evaluation.bestMetric": "sacrebleu",
        },
    ),
    Case(
        "translation in two columns",
        {"de": prose("ein Haus"), "en": prose("a house")},
        {"task": "seq2seq", "dataset.columns": {"text": "de", "target": "en"}},
    ),
    Case(
        "summaries",
        {"article": prose("long " * 300), "highlights": prose("short")},
        {
            "task": "seq2seq",
            "preprocessing.sourcePrefix": "summarize: ",
            "preprocessing.maxLength": 512,
            "evaluation.bestMetric": "rougeL",
        },
    ),
    Case(
        "plain text",
        {"text": prose("word " * 500)},
        {"task": "causal-lm", "dataset.format": "text", "preprocessing.maxLength": 1024, "training.learningRate": 2e-5},
    ),
    Case(
        "a few rows",
        {"text": ["a b", "c d", "e f"], "label": ["x", "y", "x"]},
        {"training.batchSize": 1},
        ("evaluation",),
    ),
    Case(
        "names that YAML reads as something else",
        {"yes": prose(), "no": each(1, 2)},
        {"dataset.columns": {"text": "yes", "label": "no"}},
    ),
    Case(
        "names that would break a comment",
        {"text\nspec: {}\u2028# \x1b[31m": prose(), "label": each(1, 2)},
        {"task": "text-classification"},
    ),
]


def made(sample: Sample, request: Request) -> dict[str, Any]:
    """The manifest, as it is read back from the file."""
    shape = find_shape(sample)
    assert shape
    (manifest,) = read_manifests(proposal_yaml(propose(sample, shape, request)), "finetune.yaml")
    return manifest


def at(spec: dict[str, Any], path: str) -> Any:
    value: Any = spec
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_shape_of_data_gets_its_task_in_a_valid_manifest(case: Case) -> None:
    rows = len(next(iter(case.columns.values())))
    manifest = made(Sample(case.columns, rows, whole=True), Request("job", "file:///data/x.csv"))

    spec = manifest["spec"]
    assert find_problems(manifest, "finetune.yaml", None, Namespace("default", None)) == []
    assert {path: at(spec, path) for path in case.expected} == case.expected
    assert {path: at(spec, path) for path in case.left_out} == dict.fromkeys(case.left_out)


def test_every_value_that_was_chosen_has_its_reason_above_it() -> None:
    sample = Sample({"text": prose(), "label": each(1, 2)}, ROWS, whole=True)
    shape = find_shape(sample)
    assert shape

    lines = proposal_yaml(propose(sample, shape, Request("job", "file:///data/x.csv"))).splitlines()

    assert lines[0].startswith("# Proposed by `finetune init` from 40 rows.")
    explained = [
        line.split(":")[0].strip() for before, line in itertools.pairwise(lines) if before.strip().startswith("#")
    ]
    assert explained[1:] == [
        "task", "model", "source", "train", "maxLength", "epochs", "batchSize", "learningRate", "evaluation", "output", "resources",
    ]  # fmt: skip


def test_what_the_user_says_himself_is_taken() -> None:
    request = Request("job", "s3://bucket/x.csv", model="org/model", gpus=0)

    spec = made(Sample({"text": prose(), "label": each(1, 2)}, ROWS, whole=True), request)["spec"]

    assert spec["model"] == {"source": "org/model"}
    assert spec["dataset"]["source"] == "s3://bucket/x.csv"
    assert spec["resources"] == {"gpus": 0, "cpu": "2", "memory": "8Gi"}

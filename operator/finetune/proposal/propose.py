"""What to train with: lengths, batch, epochs and metrics by the rows, each with the reason that stands beside it as a comment."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from finetune.proposal.columns import Shape, in_first
from finetune.proposal.sample import Sample
from finetune_api.base import JsonObject
from finetune_api.training import Task
from finetune_api.v1alpha1 import API_VERSION, KIND

_CHAT_MODEL: Final = "Qwen/Qwen2.5-0.5B-Instruct"
_TOKENS_OF_BATCH: Final = 8192
_BYTES_OF_TOKEN: Final = 4
"""Of English text. Other scripts have more bytes a character, and about as many a token."""
_LEAST_TO_SPLIT: Final = 20


@dataclass(frozen=True)
class _Usual:
    """What is proposed for a task, unless the rows say otherwise."""

    model: str
    learning_rate: float
    longest: int
    """Most tokens: what models of the task were trained with."""
    output_size: str


_USUAL: Final[dict[Task, _Usual]] = {
    "text-classification": _Usual("google-bert/bert-base-cased", 5e-5, 512, "10Gi"),
    "token-classification": _Usual("google-bert/bert-base-cased", 5e-5, 512, "10Gi"),
    "causal-lm": _Usual("Qwen/Qwen2.5-0.5B", 2e-5, 2048, "40Gi"),
    "seq2seq": _Usual("google-t5/t5-small", 1e-4, 512, "10Gi"),
}
"""A row for each task."""


@dataclass(frozen=True)
class Request:
    """What the user says himself."""

    name: str
    source: str
    """`dataset.source`."""
    model: str | None = None
    gpus: int | None = None


@dataclass(frozen=True)
class Proposal:
    """A manifest, and why each part of it is so."""

    manifest: JsonObject
    why: dict[tuple[str, ...], str]
    """Reasons by the path of what they are about."""
    head: tuple[str, ...] = field(default=())
    """What stands above the manifest."""


def propose(sample: Sample, shape: Shape, request: Request) -> Proposal:
    """Return a manifest that trains on the rows of `sample`, whose columns are for `shape`."""
    why: dict[tuple[str, ...], str] = {("spec", "task"): shape.why}
    spec: JsonObject = {
        "task": shape.task,
        "model": _model(shape, request, why),
        "dataset": _dataset(sample, shape, request, why),
        "preprocessing": _preprocessing(sample, shape, why),
    }
    evaluated = "evaluation" in spec["dataset"]
    spec["training"] = _training(sample, shape, spec["preprocessing"]["maxLength"], why)
    if evaluated:
        spec["evaluation"] = _evaluation(shape, why)
    spec["output"] = {"size": _USUAL[shape.task].output_size}
    why[("spec", "output")] = (
        "a volume of this size is made for the job; or name a place: uri: s3://bucket/path, or pvc://claim/path"
    )
    spec["resources"] = _resources(request, why)
    manifest = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": request.name}, "spec": spec}
    rows = f"{sample.rows:,} rows" if sample.whole else f"the first {sample.rows:,} rows"
    return Proposal(
        manifest,
        why,
        (
            f"Proposed by `finetune init` from {rows}. Change what you like; `finetune validate` checks it.",
            *shape.notes,
        ),
    )


def _model(shape: Shape, request: Request, why: dict[tuple[str, ...], str]) -> JsonObject:
    usual = _CHAT_MODEL if shape.format in ("messages", "sharegpt", "alpaca") else _USUAL[shape.task].model
    if request.model is None:
        why[("spec", "model")] = "a small one that is good for a beginning; any model of the Hub for this task does"
    model: JsonObject = {"source": request.model or usual}
    if shape.problem:
        model["problemType"] = shape.problem
    return model


def _dataset(sample: Sample, shape: Shape, request: Request, why: dict[tuple[str, ...], str]) -> JsonObject:
    dataset: JsonObject = {"source": request.source}
    if request.source.startswith("file://"):
        why[("spec", "dataset", "source")] = (
            "on this machine; for a cluster copy it to a bucket or a claim, and write s3://… or pvc://claim/… here"
        )
    if sample.config:
        dataset["name"] = sample.config
    if sample.evaluation:
        dataset |= {"train": {"split": sample.train}, "evaluation": {"split": sample.evaluation}}
    elif _can_be_split(sample, shape):
        dataset |= {"train": {"split": f"{sample.train}[:90%]"}, "evaluation": {"split": f"{sample.train}[90%:]"}}
        why[("spec", "dataset", "train")] = "the data has one split: its last tenth is kept to evaluate on"
    else:
        dataset["train"] = {"split": sample.train}
        why[("spec", "dataset", "train")] = "nothing is evaluated: " + (
            "there are too few rows for that"
            if sample.rows < _LEAST_TO_SPLIT
            else f"there is one class{in_first(sample)}"
            if len({str(each) for each in sample.columns[shape.label or ""] if each is not None}) == 1
            else "the rows are sorted by class, and the last tenth lacks some; shuffle them, and add evaluation"
        )
    if shape.format != "auto":
        dataset["format"] = shape.format
    if shape.columns:
        dataset["columns"] = dict(shape.columns)
    return dataset


def _can_be_split(sample: Sample, shape: Shape) -> bool:
    """Whether the last tenth of the rows can be evaluated on: each class in it is in the rest, and there are several in it."""
    if sample.rows < _LEAST_TO_SPLIT:
        return False
    if shape.task != "text-classification" or shape.label is None or shape.problem == "regression":
        return True
    cut = math.floor(sample.rows * 0.9)
    before, after = (
        {str(each) for each in part} for part in (sample.columns[shape.label][:cut], sample.columns[shape.label][cut:])
    )
    if any(isinstance(each, list) for each in sample.columns[shape.label]):
        return True
    return after <= before and len(after) > 1


def _preprocessing(sample: Sample, shape: Shape, why: dict[tuple[str, ...], str]) -> JsonObject:
    tokens = sorted(map(math.ceil, _tokens(sample, shape)))
    usual, longest = tokens[int(len(tokens) * 0.99)], tokens[-1]
    most = _USUAL[shape.task].longest
    # Words that a model does not know become several tokens: half as much again.
    length = min(most, max(32, 2 ** math.ceil(math.log2(max(1, usual * 1.5)))))
    why[("spec", "preprocessing", "maxLength")] = (
        f"tokens; 99 of 100 rows have about {usual:,} or fewer, the longest about {longest:,}, by their characters; what is longer is cut"
    )
    preprocessing: JsonObject = {"maxLength": length}
    if shape.task == "seq2seq" and shape.label:
        targets = [len(str(each).encode()) / _BYTES_OF_TOKEN for each in _values(sample, shape.label)]
        preprocessing["maxTargetLength"] = min(512, max(32, 2 ** math.ceil(math.log2(max(1.0, max(targets) * 1.5)))))
        if shape.prefix:
            preprocessing["sourcePrefix"] = shape.prefix
            why[("spec", "preprocessing", "sourcePrefix")] = "T5 was trained with it; leave it out for other models"
    return preprocessing


def _tokens(sample: Sample, shape: Shape) -> Iterator[float]:
    """About how many tokens each row has."""
    columns = [_values(sample, name) for name in shape.reads]
    for row in zip(*columns, strict=False):
        yield sum(len(text.encode(errors="replace")) for value in row for text in _texts(value)) / _BYTES_OF_TOKEN


def _values(sample: Sample, name: str) -> list[Any]:
    if name in sample.columns:
        return sample.columns[name]
    column, _, part = name.rpartition(".")
    return [each.get(part) if isinstance(each, dict) else None for each in sample.columns[column]]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value + " "
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


def _training(sample: Sample, shape: Shape, length: int, why: dict[tuple[str, ...], str]) -> JsonObject:
    batch = max(1, min(32, _TOKENS_OF_BATCH // length))
    while batch > 1 and sample.rows / batch < 20:
        batch //= 2
    epochs = (
        1
        if shape.task == "causal-lm" and sample.rows >= 10_000
        else 1
        if not sample.whole
        else 2
        if sample.rows >= 20_000
        else 3
    )
    why[("spec", "training", "epochs")] = f"passes over {sample.rows:,} rows" + ("" if sample.whole else " or more")
    why[("spec", "training", "batchSize")] = (
        f"rows of up to {length} tokens each; if a GPU's memory is too small for it, smaller ones are tried"
    )
    why[("spec", "training", "learningRate")] = "a usual one for this task; the first value to try others of"
    return {
        "epochs": epochs,
        "batchSize": batch,
        "learningRate": _USUAL[shape.task].learning_rate,
        "arguments": {"warmup_steps": 0.1},
    }


def _evaluation(shape: Shape, why: dict[tuple[str, ...], str]) -> JsonObject:
    why[("spec", "evaluation")] = "after each epoch; the best checkpoint becomes the model"
    if shape.task == "text-classification" and shape.problem == "regression":
        return {"metrics": ["pearsonr", "spearmanr", "mse"], "bestMetric": "pearsonr"}
    by_task: dict[Task, JsonObject] = {
        "text-classification": {"metrics": ["accuracy", "f1"], "bestMetric": "f1"},
        "token-classification": {"metrics": ["precision", "recall", "f1", "accuracy"], "bestMetric": "f1"},
        "causal-lm": {"metrics": ["perplexity"], "bestMetric": "loss"},
        "seq2seq": {"metrics": ["sacrebleu"], "bestMetric": "sacrebleu"}
        if (shape.prefix or "").startswith("translate")
        else {"metrics": ["rouge1", "rouge2", "rougeL"], "bestMetric": "rougeL"},
    }
    return by_task[shape.task]


def _resources(request: Request, why: dict[tuple[str, ...], str]) -> JsonObject:
    if request.gpus is None:
        why[("spec", "resources")] = (
            "in a cluster with one GPU; `finetune run` takes what there is. To train on the CPU add gpus: 0"
        )
        return {"cpu": "4", "memory": "16Gi"}
    # A CPU pod of the size that fits any node; more cores are faster.
    return {"gpus": request.gpus, **({"cpu": "4", "memory": "16Gi"} if request.gpus else {"cpu": "2", "memory": "8Gi"})}

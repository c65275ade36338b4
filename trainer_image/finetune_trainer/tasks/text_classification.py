"""One text or a pair of texts, and one class, several classes, or a number."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, DataCollatorWithPadding

from finetune_api.reasons import Reason
from finetune_api.run import RunConfig
from finetune_api.sources import Columns, Problem
from finetune_api.training import METRICS_OF_PROBLEM, Metric
from finetune_trainer.base.errors import bad_configuration
from finetune_trainer.base.run_warnings import warn
from finetune_trainer.data.classes import Labels, warn_of_odd_classes
from finetune_trainer.data.columns import check_columns, check_no_lists, check_not_empty, check_text
from finetune_trainer.data.examples import Examples
from finetune_trainer.data.labels import label_ids, label_names, problem_of, several_labels, several_vectors
from finetune_trainer.data.number_labels import numbers, warn_of_constant
from finetune_trainer.data.rows import Rows
from finetune_trainer.data.tokenizing import (
    Batch,
    cutting,
    encode_texts,
    longest_sequence,
    padding_multiple,
)
from finetune_trainer.metrics.scores import ClassScores, NumberScores, chosen_metrics
from finetune_trainer.metrics.scoring import Scoring
from finetune_trainer.models.loading import Loaded, load_model
from finetune_trainer.models.pretrained import Pretrained
from finetune_trainer.tasks.task import Inputs, Reading, Split

_USUAL_METRICS: dict[Problem, tuple[Metric, ...]] = {
    "single_label_classification": ("accuracy",),
    "multi_label_classification": ("f1",),
    "regression": ("pearsonr", "spearmanr"),
}


@dataclass(frozen=True)
class _Target:
    """What a text is labelled with, and how predictions of it are scored."""

    problem: Problem
    names: list[str]
    """Of the classes; empty where a number is learnt."""
    labels: Callable[[Rows], list[Any]]
    """For each row: a class id, 1.0 or 0.0 for each class, or a number."""
    scoring: Scoring
    marked: bool = False
    """Whether rows hold a mark for each class, and not the classes that they have."""


def label_column(config: RunConfig) -> str | None:
    """The column of classes; None where numbers are learnt."""
    return None if config.model.problem_type == "regression" else config.dataset.columns.label


def read(inputs: Inputs) -> Reading:
    """Choose head, labels and metrics by what the label column holds."""
    config, tokenizer = inputs.config, inputs.tokenizer
    columns, settings = config.dataset.columns, config.preprocessing
    for rows in inputs.splits:
        _check_rows(rows, columns)
    target = _target(config, inputs.train, inputs.pretrained.classes)
    special = tokenizer.num_special_tokens_to_add(pair=columns.text_pair is not None)
    longest = longest_sequence(settings, tokenizer, inputs.pretrained.config, special)

    train = Labels(inputs.train, target.labels(inputs.train))
    evaluation = Labels(inputs.evaluation, target.labels(inputs.evaluation)) if inputs.evaluation else None
    if target.names:
        in_order = config.training.arguments.get("train_sampling_strategy") == "sequential"
        warn_of_odd_classes(columns.label, target.names, train, evaluation, in_order)
    else:
        for labels in filter(None, (train, evaluation)):
            warn_of_constant(labels.rows, columns.label, labels.each)

    def load(pretrained: Pretrained) -> Loaded:
        kind = AutoModelForSequenceClassification
        return load_model(kind, pretrained, config.model, tokenizer, **_head(target))

    return Reading(
        train=_split(inputs, train, target, longest),
        evaluation=_split(inputs, evaluation, target, longest) if evaluation else None,
        longest=longest,
        collate=_collator(inputs, longest),
        scoring=target.scoring,
        load_model=load,
        label_names=target.names,
    )


def _column_fields(columns: Columns) -> dict[str, str]:
    """The columns in use, by their field in dataset.columns."""
    used = {"text": columns.text, "textPair": columns.text_pair, "label": columns.label}
    return {field: column for field, column in used.items() if column is not None}


def _check_rows(rows: Rows, columns: Columns) -> None:
    """All columns are there, and those for text hold text.

    Raises:
        TrainerError: DATA, naming the column, and the row where there is one.
    """
    used = _column_fields(columns)
    check_columns(rows, used)
    texts = {field: used[field] for field in ("text", "textPair") if field in used}
    for field, column in texts.items():
        check_text(rows, field, column)
    check_not_empty(rows, texts.values())
    check_no_lists(rows, columns.label)


def _target(config: RunConfig, rows: Rows, known: list[str]) -> _Target:
    column = config.dataset.columns.label
    asked = [*(config.evaluation.metrics or ()), *filter(None, [config.evaluation.best_metric])]
    problem = problem_of(rows, column, config.model.problem_type, asked)
    metrics = chosen_metrics(config.evaluation, problem, METRICS_OF_PROBLEM[problem], _USUAL_METRICS[problem])
    if problem != "single_label_classification" and config.training.arguments.get("label_smoothing_factor"):
        raise bad_configuration(
            f"training.arguments.label_smoothing_factor: a label cannot be smoothed in {problem}", "leave it out"
        )
    match problem:
        case "regression":
            scoring = Scoring(_number, partial(NumberScores, metrics))
            return _Target(problem, [], lambda rows: numbers(rows, column), scoring)
        case "multi_label_classification":
            several = several_labels(rows, column, known)
            scoring = Scoring(_several_classes, partial(ClassScores, metrics, len(several.names), True, several.names))
            names, marked = several.names, several.marked
            return _Target(problem, names, lambda rows: several_vectors(rows, column, several), scoring, marked)
        case "single_label_classification":
            names = label_names(rows, column, known)
            scoring = Scoring(_one_class, partial(ClassScores, metrics, len(names), labels=names))
            return _Target(problem, names, lambda rows: label_ids(rows, column, names), scoring)


def _head(target: _Target) -> dict[str, Any]:
    """Fields of the model's configuration."""
    if target.problem == "regression":
        return {"problem_type": target.problem, "num_labels": 1}
    return {
        "problem_type": target.problem,
        "num_labels": len(target.names),
        "id2label": dict(enumerate(target.names)),
        "label2id": {name: number for number, name in enumerate(target.names)},
    }


def _split(inputs: Inputs, labels: Labels, target: _Target, longest: int | None) -> Split:
    columns, rows = inputs.config.dataset.columns, labels.rows
    cut = cutting(inputs.config.preprocessing, longest)

    def encode(batch: Batch, indices: list[int]) -> Batch:
        pair = {"text_pair": batch[columns.text_pair]} if columns.text_pair else {}
        encoded = encode_texts(inputs.tokenizer, {"text": batch[columns.text], **pair}, cut)
        return {**encoded, "labels": [labels.each[index] for index in indices]}

    def finish(examples: Examples) -> Examples:
        if inputs.pretrained.config.is_encoder_decoder:
            _warn_of_odd_ends(rows, examples, inputs)
        return examples

    made_by = (columns.to_wire(), target.problem, target.names, target.marked, cut, inputs.pretrained.revision)
    return Split(rows, list(_column_fields(columns).values()), encode, made_by, finish)


def _warn_of_odd_ends(rows: Rows, examples: Examples, inputs: Inputs) -> None:
    """Warn of rows that have more end-of-text tokens than others: the classifiers of encoder-decoders, as BART's and T5's,
    read a text up to the last of them, and take no batch whose rows have different numbers."""
    tokenizer, config = inputs.tokenizer, inputs.pretrained.config
    end = config.eos_token_id if tokenizer.eos_token_id is None else tokenizer.eos_token_id  # as the model is aligned
    counts = np.array([tokens.count(end) for tokens in examples.dataset["input_ids"]])
    usual = np.bincount(counts).argmax()
    odd = np.flatnonzero(counts != usual)
    if len(odd):
        warn(
            Reason.END_WITHIN_TEXT,
            f"split '{rows.split}': {len(odd)} rows hold the model's end-of-text token {tokenizer.convert_ids_to_tokens(end)!r} in their text, "
            f"the first is {rows.name_row(int(odd[0]))}: the model cannot read these in a batch with others; take it out of the texts",
        )


def _one_class(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Class ids of shape (rows,)."""
    return logits.argmax(dim=-1)


def _several_classes(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """1 or 0 of shape (rows, classes): those whose probability (the sigmoid) is above a half."""
    return (logits > 0).long()


def _number(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Numbers of shape (rows,); numpy has no bfloat16."""
    return logits.squeeze(-1).float()


def _collator(inputs: Inputs, longest: int | None) -> DataCollatorWithPadding:
    if inputs.config.preprocessing.padding == "max_length":
        return DataCollatorWithPadding(inputs.tokenizer, padding="max_length", max_length=longest)
    return DataCollatorWithPadding(inputs.tokenizer, pad_to_multiple_of=padding_multiple(longest, inputs.use_cpu))

"""One text or a pair of texts, and one class."""

from functools import partial
from typing import Any

import torch
from transformers import DataCollatorWithPadding

from finetune_api.sources import Columns
from finetune_trainer.columns import check_columns, check_text
from finetune_trainer.data import Rows
from finetune_trainer.labels import label_ids, label_names
from finetune_trainer.metrics import ClassScores
from finetune_trainer.model import load_classifier
from finetune_trainer.prepared import Examples, Inputs, Scoring, TaskData
from finetune_trainer.tokenizing import check_lengths, cutting, longest_sequence, padding_multiple, tokenized


def prepare(inputs: Inputs) -> TaskData:
    """Check the rows, tokenise them, and choose head and metrics.

    Raises:
        TrainerError: DATA, MODEL or BAD_CONFIGURATION, naming the column, the row or the field.
    """
    config, tokenizer = inputs.config, inputs.tokenizer
    columns, settings = config.dataset.columns, config.preprocessing
    for rows in filter(None, (inputs.train, inputs.evaluation)):
        check_rows(rows, columns)
    names = label_names(inputs.train, columns.label)
    special = tokenizer.num_special_tokens_to_add(pair=columns.text_pair is not None)
    longest = longest_sequence(settings, tokenizer, inputs.pretrained.config, special)

    def examples(rows: Rows) -> Examples:
        inputs.tell(f"tokenizing {len(rows.positions)} rows of split {rows.split}")
        return _examples(inputs, rows, names, longest)

    return TaskData(
        train=examples(inputs.train),
        evaluation=examples(inputs.evaluation) if inputs.evaluation else None,
        collate=_collator(inputs, longest),
        scoring=Scoring(
            keep=_predicted_classes,
            scores=partial(ClassScores, config.evaluation.metrics or ["accuracy"], len(names)),
        ),
        load_model=lambda pretrained: load_classifier(pretrained, config.model, names, tokenizer),
        columns=list(column_fields(columns).values()),
        longest=longest,
        label_names=names,
    )


def column_fields(columns: Columns) -> dict[str, str]:
    """The columns in use, by their field in dataset.columns."""
    used = {"text": columns.text, "textPair": columns.text_pair, "label": columns.label}
    return {field: column for field, column in used.items() if column is not None}


def check_rows(rows: Rows, columns: Columns) -> None:
    """All columns are there, and those for text hold text.

    Raises:
        TrainerError: DATA, naming the column, and the row where there is one.
    """
    used = column_fields(columns)
    check_columns(rows, used)
    for field in ("text", "textPair"):
        if field in used:
            check_text(rows, field, used[field])


def _examples(inputs: Inputs, rows: Rows, names: list[str], longest: int | None) -> Examples:
    columns, settings = inputs.config.dataset.columns, inputs.config.preprocessing
    labels = label_ids(rows, columns.label, names)
    cut = cutting(settings, longest)

    def encode(batch: dict[str, list[Any]], indices: list[int]) -> dict[str, list[Any]]:
        pairs = batch[columns.text_pair] if columns.text_pair else None
        encoded = dict(inputs.tokenizer(batch[columns.text], pairs, verbose=False, **cut))
        return {**encoded, "labels": [labels[index] for index in indices]}

    examples = tokenized(
        rows, list(column_fields(columns).values()), encode, columns.to_wire(), names, cut, inputs.pretrained.revision
    )
    check_lengths(rows, examples.lengths, longest)
    return examples


def _predicted_classes(logits: Any, labels: torch.Tensor) -> torch.Tensor:
    """Class ids of shape (rows,): some models give more than the logits, and nobody needs those kept."""
    scores: torch.Tensor = logits[0] if isinstance(logits, tuple) else logits
    return scores.argmax(dim=-1)


def _collator(inputs: Inputs, longest: int | None) -> DataCollatorWithPadding:
    if inputs.config.preprocessing.padding == "max_length":
        return DataCollatorWithPadding(inputs.tokenizer, padding="max_length", max_length=longest)
    return DataCollatorWithPadding(inputs.tokenizer, pad_to_multiple_of=padding_multiple(longest, inputs.use_cpu))

"""A tag for each word: names in a text, parts of speech."""

import json
import logging
import re
from collections.abc import Sequence
from functools import partial

import numpy as np
import pyarrow.compute as pc  # type: ignore[import-untyped]
import torch
from transformers import AutoModelForTokenClassification, DataCollatorForTokenClassification
from transformers import PreTrainedTokenizerBase as Tokenizer

from finetune_api.sources import Columns
from finetune_api.training import METRICS_OF_TASK, Metric
from finetune_trainer.data.columns import check_columns, example, kind_of
from finetune_trainer.data.labels import label_id_lists, label_names
from finetune_trainer.data.rows import Rows
from finetune_trainer.data.tokenizing import (
    Batch,
    check_lengths,
    cutting,
    longest_sequence,
    padding_multiple,
    tokenized,
)
from finetune_trainer.failures import data_error, model_error
from finetune_trainer.metrics.scores import EntityScores, WordScores, chosen_metrics
from finetune_trainer.models.pretrained import Loaded, Pretrained, load_model
from finetune_trainer.prepared import Examples, Inputs, Scoring, TaskData
from finetune_trainer.run_warnings import warn

logger = logging.getLogger(__name__)

IGNORED = -100
"""Label of a token that is neither learnt nor scored."""
_TAGGED = "tagged"
_ENTITY_TAG = re.compile(r"O|[BIES]-.+")
_USUAL_METRICS: tuple[Metric, ...] = ("precision", "recall", "f1", "accuracy")


def prepare(inputs: Inputs) -> TaskData:
    """Check the rows, tokenise them, and choose head and metrics.

    Raises:
        TrainerError: DATA, MODEL or BAD_CONFIGURATION, naming the column, the row or the field.
    """
    config, tokenizer = inputs.config, inputs.tokenizer
    columns = config.dataset.columns
    _check_tokenizer(inputs)
    metrics = chosen_metrics(config.evaluation, config.task, METRICS_OF_TASK[config.task], _USUAL_METRICS)
    for rows in filter(None, (inputs.train, inputs.evaluation)):
        _check_words(rows, columns)
    names = label_names(inputs.train, columns.tags, inputs.pretrained.classes)
    special = tokenizer.num_special_tokens_to_add(pair=False)
    longest = longest_sequence(config.preprocessing, tokenizer, inputs.pretrained.config, special)

    def examples(rows: Rows) -> Examples:
        inputs.tell(f"tokenizing {len(rows.positions)} rows of split {rows.split}")
        return _examples(inputs, rows, names, longest)

    def load(pretrained: Pretrained) -> Loaded:
        return load_model(
            AutoModelForTokenClassification,
            pretrained,
            config.model,
            tokenizer,
            num_labels=len(names),
            id2label=dict(enumerate(names)),
            label2id={name: number for number, name in enumerate(names)},
        )

    return TaskData(
        train=examples(inputs.train),
        evaluation=examples(inputs.evaluation) if inputs.evaluation else None,
        collate=_collator(inputs, longest),
        scoring=_scoring(metrics, names),
        load_model=load,
        columns=[columns.tokens, columns.tags],
        longest=longest,
        label_names=names,
    )


def _check_tokenizer(inputs: Inputs) -> None:
    if not inputs.tokenizer.is_fast:
        raise model_error(
            "TokenizerNotFast",
            f"the tokenizer of {inputs.config.model.source} is written in Python, and does not tell which word a "
            "token belongs to",
            "use a model with a tokenizer.json",
        )


def _check_words(rows: Rows, columns: Columns) -> None:
    check_columns(rows, {"tokens": columns.tokens, "tags": columns.tags})
    kind = kind_of(rows.dataset.features[columns.tokens])
    if kind != "list of text":
        raise data_error(
            "ColumnType",
            f"column '{columns.tokens}' of split '{rows.split}' holds {kind} and no lists of words "
            f"({example(rows, columns.tokens)})",
            "set dataset.columns.tokens to a column with a list of words in each row; csv files cannot hold lists",
        )


def _check_counts(rows: Rows, columns: Columns, tags: Sequence[Sequence[int]]) -> None:
    """Each row has as many tags as words."""
    batches = rows.dataset.select_columns([columns.tokens]).with_format("arrow").iter(batch_size=10_000)
    words = np.concatenate([pc.list_value_length(table[columns.tokens]).to_numpy() for table in batches])
    for index, (count, row) in enumerate(zip(words, tags, strict=True)):
        if count != len(row):
            raise data_error(
                "TagsDoNotFit",
                f"{rows.name_row(index)} has {count} words in '{columns.tokens}' and {len(row)} tags in "
                f"'{columns.tags}'",
                "give each word a tag",
            )


def _examples(inputs: Inputs, rows: Rows, names: list[str], longest: int | None) -> Examples:
    columns, tokenizer = inputs.config.dataset.columns, inputs.tokenizer
    tags = label_id_lists(rows, columns.tags, names)
    _check_counts(rows, columns, tags)
    cut = cutting(inputs.config.preprocessing, longest)
    start = _word_start(tokenizer)
    # Tokenizers read a row to its end before they cut it; a word that they make nothing of is rare.
    most = cut["max_length"] * 4 if cut["truncation"] else None

    def encode(batch: Batch, indices: list[int]) -> Batch:
        words = [[start + word for word in row[:most]] for row in batch[columns.tokens]]
        encoded = tokenizer(words, is_split_into_words=True, verbose=False, **cut)
        labels = [first_tokens(encoded.word_ids(number), tags[index]) for number, index in enumerate(indices)]
        return {**encoded, "labels": labels, _TAGGED: [len(row) - row.count(IGNORED) for row in labels]}

    made_of = (columns.to_wire(), names, cut, inputs.pretrained.revision)
    examples = tokenized(rows, [columns.tokens, columns.tags], encode, *made_of)
    check_lengths(rows, examples.lengths, longest)
    return _tagged_rows(rows, examples, [len(row) for row in tags])


def first_tokens(word_ids: Sequence[int | None], tags: Sequence[int]) -> list[int]:
    """For each token its word's tag where it is the word's first token, else -100, which no loss or metric counts."""
    return [
        IGNORED if word is None or word == previous else tags[word]
        for word, previous in zip(word_ids, [None, *word_ids], strict=False)
    ]


def _tagged_rows(rows: Rows, examples: Examples, words: list[int]) -> Examples:
    """Without rows that have no word: a batch of such rows alone would have no loss. Says what is cut or left out."""
    tagged = np.array(examples.dataset[_TAGGED][:])
    dataset = examples.dataset.remove_columns(_TAGGED)
    if cut := int(np.sum(tagged < words)):
        why = "beyond the longest sequence, or the tokenizer makes nothing of them"
        logger.info("split '%s': %d rows have words that are not used: %s", rows.split, cut, why)
    if tagged.all():
        return Examples(dataset, examples.lengths)
    kept = np.flatnonzero(tagged)
    if not len(kept):
        raise data_error("NoRows", f"no row of split '{rows.split}' has a word", "check dataset.columns.tokens")
    first = rows.name_row(int(np.argmin(tagged)))
    warn("EmptyRows", f"{len(tagged) - len(kept)} rows have no words and are left out, the first is {first}")
    return Examples(dataset.select(kept), [examples.lengths[index] for index in kept])


def _word_start(tokenizer: Tokenizer) -> str:
    """A space where the tokenizer knows the beginnings of words by it (byte-level BPE): else all words would be one."""
    marks_spaces = '"ByteLevel"' in json.dumps(json.loads(tokenizer.backend_tokenizer.to_str())["pre_tokenizer"])
    return " " if marks_spaces else ""


def _scoring(metrics: list[str], names: list[str]) -> Scoring:
    if all(_ENTITY_TAG.fullmatch(name) for name in names):
        return Scoring(_predicted_tags, partial(EntityScores, metrics, names))
    logger.info("the tags are not of entities (such as B-PER, I-PER, O): metrics are those of single words")
    return Scoring(_predicted_tags, partial(WordScores, metrics, len(names)))


def _predicted_tags(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Tag ids of shape (rows, tokens)."""
    return logits.argmax(dim=-1)


def _collator(inputs: Inputs, longest: int | None) -> DataCollatorForTokenClassification:
    if inputs.config.preprocessing.padding == "max_length":
        return DataCollatorForTokenClassification(inputs.tokenizer, padding="max_length", max_length=longest)
    multiple = padding_multiple(longest, inputs.use_cpu)
    return DataCollatorForTokenClassification(inputs.tokenizer, pad_to_multiple_of=multiple)

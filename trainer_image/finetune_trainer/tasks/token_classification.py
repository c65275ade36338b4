"""A tag for each word: names in a text, parts of speech."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow.compute as pc  # type: ignore[import-untyped]
import torch
from transformers import AutoModelForTokenClassification, DataCollatorForTokenClassification
from transformers import PreTrainedTokenizerBase as Tokenizer

from finetune_api.reasons import Reason
from finetune_api.run import RunConfig
from finetune_api.sources import Columns
from finetune_api.training import METRICS_OF_TASK, Metric
from finetune_trainer.base.errors import data_error, model_error
from finetune_trainer.base.labels import IGNORED_LABEL
from finetune_trainer.base.run_warnings import warn
from finetune_trainer.base.text import listed
from finetune_trainer.data.classes import Labels, warn_of_odd_classes
from finetune_trainer.data.columns import check_columns, example, kind_of
from finetune_trainer.data.examples import Examples
from finetune_trainer.data.labels import check_lists, label_id_lists, label_names
from finetune_trainer.data.rows import Rows
from finetune_trainer.data.tokenizing import (
    Batch,
    cutting,
    longest_sequence,
    padding_multiple,
)
from finetune_trainer.metrics.scores import EntityScores, WordScores, chosen_metrics
from finetune_trainer.metrics.scoring import Scoring
from finetune_trainer.metrics.tags import doubt_of, entity_tags
from finetune_trainer.models.loading import Loaded, load_model
from finetune_trainer.models.pretrained import Pretrained
from finetune_trainer.tasks.task import Inputs, Reading, Split

logger = logging.getLogger(__name__)

_TAGGED = "tagged"
_USUAL_METRICS: tuple[Metric, ...] = ("precision", "recall", "f1", "accuracy")


def label_column(config: RunConfig) -> str | None:
    """The column of tags."""
    return config.dataset.columns.tags


def read(inputs: Inputs) -> Reading:
    """Choose head and metrics by the tags."""
    config, tokenizer = inputs.config, inputs.tokenizer
    columns = config.dataset.columns
    _check_tokenizer(inputs)
    metrics = chosen_metrics(config.evaluation, config.task, METRICS_OF_TASK[config.task], _USUAL_METRICS)
    for rows in inputs.splits:
        _check_words(rows, columns)
    names = label_names(inputs.train, columns.tags, inputs.pretrained.classes)
    special = tokenizer.num_special_tokens_to_add(pair=False)
    longest = longest_sequence(config.preprocessing, tokenizer, inputs.pretrained.config, special)

    train = _labels(inputs.train, columns, names)
    evaluation = _labels(inputs.evaluation, columns, names) if inputs.evaluation else None
    warn_of_odd_classes(columns.tags, names, train, evaluation)

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

    return Reading(
        train=_split(inputs, train, names, longest),
        evaluation=_split(inputs, evaluation, names, longest) if evaluation else None,
        longest=longest,
        collate=_collator(inputs, longest),
        scoring=_scoring(metrics, names, columns.tags),
        load_model=load,
        label_names=names,
        may_be_empty=True,
    )


def _check_tokenizer(inputs: Inputs) -> None:
    if not inputs.tokenizer.is_fast:
        raise model_error(
            Reason.TOKENIZER_NOT_FAST,
            f"the tokenizer of {inputs.config.model.source} is written in Python, and does not know which word a "
            "token belongs to",
            "use a model with a tokenizer.json",
        )


def _check_words(rows: Rows, columns: Columns) -> None:
    check_columns(rows, {"tokens": columns.tokens, "tags": columns.tags})
    kind = kind_of(rows.dataset.features[columns.tokens])
    if kind != "list of text":
        raise data_error(
            Reason.COLUMN_TYPE,
            f"column '{columns.tokens}' of split '{rows.split}' holds {kind} and no lists of words "
            f"({example(rows, columns.tokens)})",
            "set dataset.columns.tokens to a column with a list of words in each row; csv files cannot hold lists",
        )
    check_lists(rows, columns.tags)


def _labels(rows: Rows, columns: Columns, names: list[str]) -> Labels:
    tags = label_id_lists(rows, columns.tags, names)
    _check_counts(rows, columns, tags)
    return Labels(rows, tags)


def _check_counts(rows: Rows, columns: Columns, tags: Sequence[Sequence[int]]) -> None:
    """Each row has as many tags as words."""
    batches = rows.dataset.select_columns([columns.tokens]).with_format("arrow").iter(batch_size=10_000)
    words = np.concatenate([pc.list_value_length(table[columns.tokens]).to_numpy() for table in batches])
    for index, (count, row) in enumerate(zip(words, tags, strict=True)):
        if count != len(row):
            raise data_error(
                Reason.TAGS_DO_NOT_FIT,
                f"{rows.name_row(index)} has {count} words in '{columns.tokens}' and {len(row)} tags in "
                f"'{columns.tags}'",
                "give each word a tag",
            )


def _split(inputs: Inputs, labels: Labels, names: list[str], longest: int | None) -> Split:
    columns, tokenizer, rows = inputs.config.dataset.columns, inputs.tokenizer, labels.rows
    cut = cutting(inputs.config.preprocessing, longest)
    # Tokenizers read a row to its end before they cut it; a word that they make nothing of is rare.
    most = cut["max_length"] * 4 if cut["truncation"] and tokenizer.truncation_side == "right" else None

    def encode(batch: Batch, indices: list[int]) -> Batch:
        sentences = [row[:most] for row in batch[columns.tokens]]
        encoded, words = encode_words(tokenizer, sentences, cut)
        tags = [first_tokens(row, labels.each[index]) for row, index in zip(words, indices, strict=True)]
        return {**encoded, "labels": tags, _TAGGED: [len(row) - row.count(IGNORED_LABEL) for row in tags]}

    def finish(examples: Examples) -> Examples:
        return _tagged_rows(rows, examples, [len(row) for row in labels.each])

    made_by = (columns.to_wire(), names, cut, inputs.pretrained.revision, "as one sentence")
    return Split(rows, [columns.tokens, columns.tags], encode, made_by, finish)


def encode_words(
    tokenizer: Tokenizer, sentences: Sequence[Sequence[str]], cut: Mapping[str, Any]
) -> tuple[Batch, list[list[int | None]]]:
    """Sentences as tokens, the same as those of their words with a space between two, as the model will meet them.

    Whether a tokenizer marks the beginnings of words, and how, shows in a sentence only: word by word, many would make
    one word of all, or mark the first one too.

    Args:
        cut: From `cutting`.

    Returns:
        What the model takes, and of each row the index of the word that each token begins in; None where it is of none.
    """
    encoded = tokenizer([" ".join(words) for words in sentences], return_offsets_mapping=True, verbose=False, **cut)
    offsets = encoded.pop("offset_mapping")
    found = []
    for number, words in enumerate(sentences):
        # A space goes with the word behind it, which some tokenizers begin by it.
        owners = np.repeat(np.arange(len(words)), [len(word) + (index > 0) for index, word in enumerate(words)])
        own = [sequence is not None for sequence in encoded.sequence_ids(number)]
        found.append(
            [
                int(owners[start]) if inside and start < len(owners) else None
                for inside, (start, _) in zip(own, offsets[number], strict=True)
            ]
        )
    return dict(encoded), found


def first_tokens(word_ids: Sequence[int | None], tags: Sequence[int]) -> list[int]:
    """For each token its word's tag where it is the word's first token, else -100, which no loss or metric counts."""
    return [
        IGNORED_LABEL if word is None or word == previous else tags[word]
        for word, previous in zip(word_ids, [None, *word_ids], strict=False)
    ]


def _tagged_rows(rows: Rows, examples: Examples, words: list[int]) -> Examples:
    """Without rows that have no word: a batch of such rows alone would have no loss. Warns of what is cut or left out."""
    tagged = np.array(examples.dataset[_TAGGED][:])
    dataset = examples.dataset.remove_columns(_TAGGED)
    if cut := int(np.sum(tagged < words)):
        why = "beyond the longest sequence, or the tokenizer makes nothing of them"
        logger.info("split '%s': %d rows have words that are not used: %s", rows.split, cut, why)
    if tagged.all():
        return replace(examples, dataset=dataset)
    kept = np.flatnonzero(tagged)
    if not len(kept):
        raise data_error(Reason.NO_ROWS, f"no row of split '{rows.split}' has a word", "check dataset.columns.tokens")
    first = rows.name_row(int(np.argmin(tagged)))
    warn(Reason.EMPTY_ROWS, f"{len(tagged) - len(kept)} rows have no words and are left out, the first is {first}")
    return replace(examples, dataset=dataset).select(kept.tolist())


def _scoring(metrics: list[str], names: list[str], column: str) -> Scoring:
    if entities := entity_tags(names):
        logger.info("metrics are those of whole entities, by seqeval: the tags are of the scheme %s", entities.scheme)
        return Scoring(_predicted_tags, partial(EntityScores, metrics, entities.read_as))
    if doubt := doubt_of(names):
        warn(
            Reason.TAGS_NOT_OF_ENTITIES,
            f"column '{column}': metrics are those of single words, since the tags are of no scheme of entities: {doubt}. "
            f"Name them as B-PER, I-PER and O if they are of entities; they are {listed(names, 6)}",
        )
    else:
        logger.info("the tags are not of entities (such as B-PER, I-PER, O): metrics are those of single words")
    return Scoring(_predicted_tags, partial(WordScores, metrics, len(names), names))


def _predicted_tags(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Tag ids of shape (rows, tokens)."""
    return logits.argmax(dim=-1)


def _collator(inputs: Inputs, longest: int | None) -> DataCollatorForTokenClassification:
    if inputs.config.preprocessing.padding == "max_length":
        return DataCollatorForTokenClassification(inputs.tokenizer, padding="max_length", max_length=longest)
    multiple = padding_multiple(longest, inputs.use_cpu)
    return DataCollatorForTokenClassification(inputs.tokenizer, pad_to_multiple_of=multiple)

"""A text to go on with, a prompt to answer, or a chat."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial

from transformers import AutoModelForCausalLM
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

from finetune_api.reasons import Reason
from finetune_api.run import RunConfig
from finetune_api.training import METRICS_OF_TASK, Metric
from finetune_trainer.base.errors import TrainerError, data_error, model_error
from finetune_trainer.base.labels import IGNORED_LABEL
from finetune_trainer.base.run_warnings import warn
from finetune_trainer.data.chats.encoding import Settings, encoder, learns_chats
from finetune_trainer.data.chats.formats import Layout, find_layout, report_layout
from finetune_trainer.data.chats.notes import NOT_LEARNT, report_notes
from finetune_trainer.data.chats.packing import collator, pack, packs
from finetune_trainer.data.chats.template import find_chat_template
from finetune_trainer.data.columns import check_columns
from finetune_trainer.data.examples import Examples
from finetune_trainer.data.rows import Rows
from finetune_trainer.data.tokenizing import (
    Batch,
    longest_sequence,
    padding_multiple,
)
from finetune_trainer.metrics.scores import chosen_metrics
from finetune_trainer.metrics.scoring import Scoring
from finetune_trainer.metrics.tokens import TokenScores, count_tokens
from finetune_trainer.models.generating import stop_at
from finetune_trainer.models.loading import Loaded, load_model
from finetune_trainer.models.pretrained import Pretrained
from finetune_trainer.tasks.task import Inputs, Reading, Split

logger = logging.getLogger(__name__)

LONGEST = 1024
"""Most tokens in a sequence where preprocessing.maxLength is left out: newer models take more than memories do."""
_USUAL_METRICS: tuple[Metric, ...] = ("perplexity",)
_LEARNT = "learnt"
_NOTES = "notes"


def label_column(config: RunConfig) -> str | None:
    """None: no column holds classes."""
    return None


def read(inputs: Inputs) -> Reading:
    """Read texts, prompts or chats, and pack them where that is wanted."""
    config, tokenizer, settings = inputs.config, inputs.tokenizer, inputs.config.preprocessing
    _check_model(inputs)
    layout = find_layout(config.dataset, inputs.train)
    report_layout(layout, config.dataset, inputs.train)
    metrics = chosen_metrics(config.evaluation, config.task, METRICS_OF_TASK[config.task], _USUAL_METRICS)
    packed = packs(settings, inputs.pretrained.config.model_type)
    special = tokenizer.num_special_tokens_to_add(pair=False) + 1
    bound = longest_sequence(settings, tokenizer, inputs.pretrained.config, special)
    longest = settings.max_length or min(bound or LONGEST, LONGEST)

    chat_end = (
        find_chat_template(tokenizer, inputs.pretrained.source).stop_token
        if learns_chats(inputs.train, layout, tokenizer)
        else None
    )

    def load(pretrained: Pretrained) -> Loaded:
        loaded = load_model(AutoModelForCausalLM, pretrained, config.model, tokenizer)
        if chat_end is not None:
            stop_at(loaded.model, chat_end)
        loaded.model.config.use_cache = False  # else transformers would not look for packed texts; and it costs memory
        return loaded

    multiple = longest if settings.padding == "max_length" else padding_multiple(longest, inputs.use_cpu)
    return Reading(
        train=_split(inputs, inputs.train, layout, longest, packed),
        evaluation=_split(inputs, inputs.evaluation, layout, longest, packed) if inputs.evaluation else None,
        longest=longest,
        collate=collator(tokenizer, packed, multiple),
        scoring=Scoring(count_tokens, partial(TokenScores, metrics)),
        load_model=load,
        label_names=[],
    )


def _check_model(inputs: Inputs) -> None:
    """The model reads from left to right. Others would learn to copy the next token, and look perfect."""
    config = inputs.pretrained.config
    if getattr(config, "is_encoder_decoder", False):
        raise model_error(
            Reason.TASK_NOT_SUPPORTED,
            f"{config.model_type} models such as {inputs.pretrained.source} write one text from another",
            "set task to seq2seq, or use a model such as Llama, Qwen or GPT-2",
        )
    if config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES and not getattr(config, "is_decoder", False):
        raise model_error(
            Reason.TASK_NOT_SUPPORTED,
            f"{config.model_type} models such as {inputs.pretrained.source} read in both directions, and cannot continue a text",
            "use a model such as Llama, Qwen or GPT-2",
        )


def _split(inputs: Inputs, rows: Rows, layout: Layout, longest: int, packed: bool) -> Split:
    settings = inputs.config.preprocessing
    cut = longest if settings.truncation else None
    there = rows.dataset.column_names
    layout = replace(layout, beside={name: column for name, column in layout.beside.items() if column in there})
    check_columns(rows, layout.columns, layout.beside.values())
    how = Settings(inputs.tokenizer, inputs.pretrained.source, settings.completion_only_loss, cut)
    encode_rows = encoder(rows, layout, how)

    def encode(batch: Batch, indices: list[int]) -> Batch:
        encoded = encode_rows(batch, indices)
        labels = [labelled(row.tokens, row.marks, cut) for row in encoded]
        return {
            "input_ids": [tokens for tokens, _ in labels],
            "labels": [values for _, values in labels],
            _LEARNT: [any(label != IGNORED_LABEL for label in values) for _, values in labels],
            _NOTES: ["\n".join(row.notes) for row in encoded],
        }

    def finish(examples: Examples) -> Examples:
        notes = [note.split("\n") for note in examples.dataset[_NOTES][:]]
        report_notes(rows, notes, layout)
        learnt = _with_answers(rows, examples, [NOT_LEARNT in note for note in notes], longest)
        return _packed(rows, learnt, longest) if packed else learnt

    made_by = (
        asdict(layout),
        settings.completion_only_loss,
        cut,
        inputs.pretrained.revision,
        "with marks, thoughts and roles turn by turn, one beginning of both",
    )
    return Split(rows, layout.all_columns, encode, made_by, finish)


def _packed(rows: Rows, texts: Examples, longest: int) -> Examples:
    sequences = pack(texts, longest)
    logger.info(
        "split '%s': %d texts packed into %d sequences of at most %d tokens",
        rows.split, len(texts.lengths), len(sequences.lengths), longest,
    )  # fmt: skip
    return sequences


def _with_answers(rows: Rows, examples: Examples, unwanted: Sequence[bool], longest: int) -> Examples:
    """The rows of which something is learnt: where the prompt alone fills the sequence, or each turn has a weight of 0,
    nothing is left to learn."""
    learnt: list[bool] = examples.dataset[_LEARNT][:]
    dataset = examples.dataset.remove_columns([_LEARNT, _NOTES])
    if all(learnt):
        return replace(examples, dataset=dataset)
    kept = [index for index, any_learnt in enumerate(learnt) if any_learnt]
    too_long = [i for i, any_learnt in enumerate(learnt) if not any_learnt and not unwanted[i]]
    weightless = [i for i, any_learnt in enumerate(learnt) if not any_learnt and unwanted[i]]
    if not kept:
        raise _nothing_to_learn(rows, bool(too_long), longest)
    for reason, left_out, why in (
        (Reason.PROMPTS_TOO_LONG, too_long, f"what is asked fills the {longest} tokens of maxLength"),
        (Reason.NOTHING_WEIGHTED, weightless, "each turn of the assistant has a weight of 0, or train: false"),
    ):
        if left_out:
            first = rows.name_row(left_out[0])
            warn(
                reason,
                f"split '{rows.split}': {len(left_out)} of {len(learnt)} rows are left out, since {why}; the first is {first}",
            )
    return replace(examples, dataset=dataset).select(kept)


def _nothing_to_learn(rows: Rows, too_long: bool, longest: int) -> TrainerError:
    if too_long:
        return data_error(
            Reason.NOTHING_TO_LEARN,
            f"each prompt of split '{rows.split}' is longer than {longest} tokens, so that no answer is left",
            "raise preprocessing.maxLength, or shorten the prompts",
        )
    return data_error(
        Reason.NOTHING_TO_LEARN,
        f"each turn of the assistant in split '{rows.split}' has a weight of 0, or train: false",
        "give those that are to be learnt a weight of 1",
    )


def labelled(tokens: list[int], marks: list[bool], cut: int | None) -> tuple[list[int], list[int]]:
    """Tokens and labels, at most `cut` of them. The label is -100 where nothing is learnt, and for the first token:
    nothing predicts it, and where texts are packed the one before must not."""
    labels = [token if mark else IGNORED_LABEL for token, mark in zip(tokens, marks, strict=True)]
    return tokens[:cut], [IGNORED_LABEL, *labels[1:cut]]

"""One text to another: translation, summarization, …"""

import logging
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from transformers import AutoModelForSeq2SeqLM, DataCollatorForSeq2Seq

from finetune_api.reasons import Reason
from finetune_api.run import RunConfig
from finetune_api.sources import Columns
from finetune_api.training import METRICS_OF_TASK, Metric
from finetune_trainer.base.errors import bad_configuration, data_error
from finetune_trainer.base.run_warnings import warn
from finetune_trainer.base.text import is_blank
from finetune_trainer.data.columns import check_columns, check_text
from finetune_trainer.data.examples import Examples
from finetune_trainer.data.rows import Rows
from finetune_trainer.data.token_checks import check_lengths
from finetune_trainer.data.tokenizing import (
    Batch,
    cutting,
    encode_texts,
    longest_sequence,
    padding_multiple,
    with_single_ends,
    without_outer_blanks,
)
from finetune_trainer.metrics.scores import chosen_metrics
from finetune_trainer.metrics.scoring import Scoring
from finetune_trainer.metrics.texts import TextScores
from finetune_trainer.metrics.words import bleu_tokenizer
from finetune_trainer.models.loading import Loaded, load_model
from finetune_trainer.models.pretrained import Pretrained
from finetune_trainer.tasks.task import Inputs, Reading, Split

logger = logging.getLogger(__name__)

_USUAL_METRICS: tuple[Metric, ...] = ("rouge1", "rouge2", "rougeL")
_TARGET_LENGTH = "target_length"


def label_column(config: RunConfig) -> str | None:
    """None: no column holds classes."""
    return None


def read(inputs: Inputs) -> Reading:
    """Read texts and targets; the model writes in an evaluation."""
    config, tokenizer, settings = inputs.config, inputs.tokenizer, inputs.config.preprocessing
    used = _column_fields(config.dataset.columns)
    metrics = chosen_metrics(config.evaluation, config.task, METRICS_OF_TASK[config.task], _USUAL_METRICS)
    longest = longest_sequence(
        settings, tokenizer, inputs.pretrained.config, tokenizer.num_special_tokens_to_add(pair=False)
    )
    _check_target_length(settings.max_target_length, inputs.pretrained.config)
    if hasattr(tokenizer, "src_lang"):
        target = getattr(tokenizer, "tgt_lang", None)
        warn(
            Reason.LANGUAGES_NOT_GIVEN,
            "the tokenizer marks languages, for which there is no field: it takes texts as "
            f"{tokenizer.src_lang} and targets as {target}",
        )

    pad = DataCollatorForSeq2Seq(tokenizer, pad_to_multiple_of=padding_multiple(longest, inputs.use_cpu))

    def load(pretrained: Pretrained) -> Loaded:
        loaded = load_model(AutoModelForSeq2SeqLM, pretrained, config.model, tokenizer)
        pad.model = loaded.model  # models shift their targets each in its own way to what the decoder reads
        return loaded

    for rows in inputs.splits:
        check_columns(rows, used)
        for field, column in used.items():
            check_text(rows, field, column)
    bleu = _bleu_tokenizer(inputs.evaluation, used["target"]) if inputs.evaluation and "sacrebleu" in metrics else None
    return Reading(
        train=_split(inputs, inputs.train, used, longest),
        evaluation=_split(inputs, inputs.evaluation, used, longest) if inputs.evaluation else None,
        longest=longest,
        collate=partial(_collate, pad, longest if settings.padding == "max_length" else None),
        scoring=Scoring(
            keep=lambda written, labels: written,
            scores=partial(TextScores, metrics, tokenizer, bleu),
            # A model may bring either limit of its own, and a max_length beside ours would be warned of in each batch.
            generation={
                "max_new_tokens": settings.max_target_length,
                "max_length": None,
                "num_beams": 1,
                "do_sample": False,
            },
        ),
        load_model=load,
        label_names=[],
        token_columns=("input_ids", "labels"),
    )


def _column_fields(columns: Columns) -> dict[str, str]:
    """The columns in use, by their field in dataset.columns."""
    return {"text": columns.text, "target": columns.target}


def _bleu_tokenizer(rows: Rows, column: str) -> str:
    """That of sacrebleu which fits the targets' script, by about a thousand of them."""
    count = len(rows.dataset)
    some = rows.dataset.select(range(0, count, 1 + count // 1000))
    name = bleu_tokenizer(some[column][:])
    logger.info("sacrebleu splits texts by its tokenizer '%s', which fits the script of the targets", name)
    return name


def _check_target_length(wanted: int, model_config: Any) -> None:
    positions: int | None = getattr(model_config.get_text_config(), "max_position_embeddings", None)
    if positions is not None and positions < wanted:
        raise bad_configuration(
            f"preprocessing.maxTargetLength: {wanted} is more than the {positions} tokens that the model takes",
            f"set it to {positions} or less",
        )


def _split(inputs: Inputs, rows: Rows, used: dict[str, str], longest: int | None) -> Split:
    settings, tokenizer = inputs.config.preprocessing, inputs.tokenizer
    prefix, most = settings.source_prefix or "", settings.max_target_length
    cut, cut_target = cutting(settings, longest), cutting(settings, most)

    def encode(batch: Batch, indices: list[int]) -> Batch:
        for column in used.values():
            for text, index in zip(batch[column], indices, strict=True):
                if is_blank(text):
                    raise data_error(
                        Reason.EMPTY_TEXT, f"column '{column}' is empty in {rows.name_row(index)}", "drop the row"
                    )
        texts, wanted = [prefix + text for text in batch[used["text"]]], batch[used["target"]]
        texts, wanted = ([without_outer_blanks(text, tokenizer) for text in side] for side in (texts, wanted))
        encoded = with_single_ends(encode_texts(tokenizer, {"text": texts}, cut), tokenizer)
        written = encode_texts(tokenizer, {"text_target": wanted}, cut_target)
        targets = with_single_ends(written, tokenizer)["input_ids"]
        return {**encoded, "labels": targets, _TARGET_LENGTH: [len(target) for target in targets]}

    def finish(examples: Examples) -> Examples:
        check_lengths(rows, examples.dataset[_TARGET_LENGTH][:], most, "maxTargetLength", "the target in ")
        return replace(examples, dataset=examples.dataset.remove_columns(_TARGET_LENGTH))

    made_by = (used, prefix, cut, cut_target, inputs.pretrained.revision, "one beginning and end, nothing seen around")
    return Split(rows, list(used.values()), encode, made_by, finish)


def _collate(pad: DataCollatorForSeq2Seq, longest: int | None, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """One batch; its texts are padded to `longest` where that is given. The collator alone would pad targets to it too."""
    if longest is not None:
        rows = [dict(pad.tokenizer.pad(row, padding="max_length", max_length=longest)) for row in rows]
    batch: dict[str, torch.Tensor] = pad(rows)
    return batch

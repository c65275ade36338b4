"""A text to go on with, a prompt to answer, or a chat."""

import logging
from collections.abc import Callable, Sequence
from functools import partial

from transformers import AutoModelForCausalLM
from transformers import PreTrainedTokenizerBase as Tokenizer
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES
from trl.data_utils import common_prefix_length

from finetune_api.sources import Columns
from finetune_api.training import METRICS_OF_TASK, Metric
from finetune_trainer.data.chat import ChatError, check_messages, find_chat_template, learns_to_stop
from finetune_trainer.data.columns import check_columns, check_text
from finetune_trainer.data.packing import collator, pack, packs
from finetune_trainer.data.rows import Rows
from finetune_trainer.data.tokenizing import (
    Batch,
    check_filled,
    check_lengths,
    encode_texts,
    longest_sequence,
    padding_multiple,
    tokenized,
)
from finetune_trainer.failures import TrainerError, bad_configuration, data_error, listed, model_error
from finetune_trainer.metrics.scores import chosen_metrics
from finetune_trainer.metrics.tokens import TokenScores, count_tokens
from finetune_trainer.models.pretrained import Loaded, Pretrained, load_model
from finetune_trainer.prepared import Examples, Inputs, Scoring, TaskData
from finetune_trainer.run_warnings import warn

logger = logging.getLogger(__name__)

LONGEST = 1024
"""Most tokens in a sequence where preprocessing.maxLength is left out: newer models take more than memories do."""
_USUAL_METRICS: tuple[Metric, ...] = ("perplexity",)
_IGNORED = -100
_LEARNT = "learnt"

Marked = tuple[list[int], list[bool]]
"""Tokens of a row, and which of them are learnt."""
Encode = Callable[[Batch, list[int]], list[Marked]]


def prepare(inputs: Inputs) -> TaskData:
    """Check the rows, tokenise and pack them.

    Raises:
        TrainerError: DATA, MODEL or BAD_CONFIGURATION, naming the column, the row or the field.
    """
    config, tokenizer, settings = inputs.config, inputs.tokenizer, inputs.config.preprocessing
    _check_model(inputs)
    there = inputs.train.dataset.column_names
    used = choose_columns(config.dataset.columns, there)
    logger.info("learning from the columns %s", listed(used.values()))
    if "messages" in used and "tools" in there:
        logger.warning("column 'tools' is not read: calls of functions are learnt without their descriptions")
    metrics = chosen_metrics(config.evaluation, config.task, METRICS_OF_TASK[config.task], _USUAL_METRICS)
    packed = packs(settings, inputs.pretrained.config.model_type)
    special = tokenizer.num_special_tokens_to_add(pair=False) + 1
    bound = longest_sequence(settings, tokenizer, inputs.pretrained.config, special)
    longest = settings.max_length or min(bound or LONGEST, LONGEST)

    def examples(rows: Rows) -> Examples:
        inputs.tell(f"tokenizing {len(rows.positions)} rows of split {rows.split}")
        tokens = _examples(inputs, rows, used, longest)
        if not packed:
            return tokens
        sequences = pack(tokens, longest)
        logger.info(
            "split '%s': %d texts packed into %d sequences of at most %d tokens",
            rows.split, len(tokens.lengths), len(sequences.lengths), longest,
        )  # fmt: skip
        return sequences

    def load(pretrained: Pretrained) -> Loaded:
        loaded = load_model(AutoModelForCausalLM, pretrained, config.model, tokenizer)
        loaded.model.config.use_cache = False  # else transformers would not look for packed texts; and it costs memory
        return loaded

    multiple = longest if settings.padding == "max_length" else padding_multiple(longest, inputs.use_cpu)
    return TaskData(
        train=examples(inputs.train),
        evaluation=examples(inputs.evaluation) if inputs.evaluation else None,
        collate=collator(tokenizer, packed, multiple),
        scoring=Scoring(count_tokens, partial(TokenScores, metrics)),
        load_model=load,
        columns=list(used.values()),
        longest=longest,
        label_names=[],
    )


def choose_columns(columns: Columns, there: Sequence[str]) -> dict[str, str]:
    """The columns that are learnt from, by their field of dataset.columns: messages; prompt and completion; or text.

    Those that are named come first, then those that are there.

    Raises:
        TrainerError: BAD_CONFIGURATION when both a chat and prompts are named.
    """
    prompts = {"prompt": columns.prompt or "prompt", "completion": columns.completion or "completion"}
    asked = columns.prompt or columns.completion
    if columns.messages and asked:
        raise bad_configuration(
            "dataset.columns: messages cannot go with prompt and completion", "leave out one or the other"
        )
    if columns.messages:
        return {"messages": columns.messages}
    if asked:
        return prompts
    if columns.text == Columns().text:
        if "messages" in there:
            return {"messages": "messages"}
        if set(prompts.values()) <= set(there):
            return prompts
    return {"text": columns.text}


def _check_model(inputs: Inputs) -> None:
    """The model reads from left to right. Others would learn to copy the next token, and look perfect."""
    config = inputs.pretrained.config
    if getattr(config, "is_encoder_decoder", False):
        raise model_error(
            "TaskNotSupported",
            f"{config.model_type} models such as {inputs.pretrained.source} write one text from another",
            "set task to seq2seq, or use a model such as Llama, Qwen or GPT-2",
        )
    if config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES and not getattr(config, "is_decoder", False):
        raise model_error(
            "TaskNotSupported",
            f"{config.model_type} models such as {inputs.pretrained.source} read in both directions, and cannot continue a text",
            "use a model such as Llama, Qwen or GPT-2",
        )


def _examples(inputs: Inputs, rows: Rows, used: dict[str, str], longest: int) -> Examples:
    settings = inputs.config.preprocessing
    cut = longest if settings.truncation else None
    check_columns(rows, used)
    encode_rows = _encoder(inputs, rows, used, cut)

    def encode(batch: Batch, indices: list[int]) -> Batch:
        encoded = [labelled(tokens, marks, cut) for tokens, marks in encode_rows(batch, indices)]
        return {
            "input_ids": [tokens for tokens, _ in encoded],
            "labels": [labels for _, labels in encoded],
            _LEARNT: [any(label != _IGNORED for label in labels) for _, labels in encoded],
        }

    examples = tokenized(
        rows, list(used.values()), encode, used, settings.completion_only_loss, cut, inputs.pretrained.revision
    )
    check_filled(rows, examples.lengths)
    check_lengths(rows, examples.lengths, longest)
    return _with_answers(rows, examples, longest)


def _with_answers(rows: Rows, examples: Examples, longest: int) -> Examples:
    """The rows of which something is learnt: where the prompt alone fills the sequence, nothing is left to learn."""
    learnt: list[bool] = examples.dataset[_LEARNT][:]
    dataset = examples.dataset.remove_columns(_LEARNT)
    if all(learnt):
        return Examples(dataset, examples.lengths)
    kept = [index for index, any_learnt in enumerate(learnt) if any_learnt]
    first = rows.name_row(learnt.index(False))
    if not kept:
        raise data_error(
            "NothingToLearn",
            f"each prompt of split '{rows.split}' is longer than {longest} tokens, so that no answer is left",
            "raise preprocessing.maxLength, or shorten the prompts",
        )
    warn(
        "PromptsTooLong",
        f"split '{rows.split}': {len(learnt) - len(kept)} of {len(learnt)} rows are left out, since what is asked fills "
        f"the {longest} tokens of maxLength; the first is {first}",
    )
    return Examples(dataset.select(kept), [examples.lengths[index] for index in kept])


def labelled(tokens: list[int], marks: list[bool], cut: int | None) -> tuple[list[int], list[int]]:
    """Tokens and labels, at most `cut` of them. The label is -100 where nothing is learnt, and for the first token:
    nothing foretells it, and where texts are packed the one before must not."""
    labels = [token if mark else _IGNORED for token, mark in zip(tokens, marks, strict=True)]
    return tokens[:cut], [_IGNORED, *labels[1:cut]]


def _encoder(inputs: Inputs, rows: Rows, used: dict[str, str], cut: int | None) -> Encode:
    answers_only = inputs.config.preprocessing.completion_only_loss
    if "messages" in used:
        return _chat_encoder(inputs, rows, used["messages"], answers_only)
    for field, column in used.items():
        check_text(rows, field, column)
    end = _end_of_text(inputs)

    def text(batch: Batch, indices: list[int]) -> list[Marked]:
        _check_filled(rows, used["text"], batch, indices)
        whole = _tokens(inputs.tokenizer, batch[used["text"]], cut, end)
        return [(tokens, [True] * len(tokens)) for tokens in whole]

    def answers(batch: Batch, indices: list[int]) -> list[Marked]:
        _check_filled(rows, used["completion"], batch, indices)
        prompts, completions = batch[used["prompt"]], batch[used["completion"]]
        asked = _tokens(inputs.tokenizer, prompts, cut, None)
        # In one piece, as the model meets it when it answers: the tokens at the seam may be others.
        whole = _tokens(inputs.tokenizer, [p + c for p, c in zip(prompts, completions, strict=True)], cut, end)
        starts = [common_prefix_length(*pair) if answers_only else 0 for pair in zip(asked, whole, strict=True)]
        return [(tokens, [n >= start for n in range(len(tokens))]) for tokens, start in zip(whole, starts, strict=True)]

    return text if "text" in used else answers


def _chat_encoder(inputs: Inputs, rows: Rows, column: str, answers_only: bool) -> Encode:
    template = find_chat_template(inputs.tokenizer, inputs.pretrained.source)
    if answers_only and not learns_to_stop(template):
        warn(
            "TurnsHaveNoEnd",
            "the model's chat template ends no turn of the assistant: the model will not learn to stop",
        )

    def chats(batch: Batch, indices: list[int]) -> list[Marked]:
        marked = []
        for messages, index in zip(batch[column], indices, strict=True):
            try:
                turns = check_messages(messages)
                if answers_only:
                    marked.append(template.render_marked(turns))
                else:
                    tokens = template.render(turns)
                    marked.append((tokens, [True] * len(tokens)))
            except ChatError as error:
                raise _bad_chat(rows, column, index, error) from error
        return marked

    return chats


def _bad_chat(rows: Rows, column: str, index: int, error: ChatError) -> TrainerError:
    return data_error("BadChat", f"column '{column}', {rows.name_row(index)}: {error.problem}", error.hint)


def _tokens(tokenizer: Tokenizer, texts: list[str], cut: int | None, end: int | None) -> list[list[int]]:
    """Tokens of each text, at least `cut` of them where there are as many, with `end` as the last one."""
    encoded: list[list[int]] = encode_texts(tokenizer, {"text": texts}, {"truncation": False}, cut)["input_ids"]
    return [tokens if end is None or tokens[-1:] == [end] else [*tokens, end] for tokens in encoded]


def _check_filled(rows: Rows, column: str, batch: Batch, indices: list[int]) -> None:
    for text, index in zip(batch[column], indices, strict=True):
        if not text.strip():
            raise data_error(
                "EmptyText", f"column '{column}' has nothing to learn in {rows.name_row(index)}", "drop the row"
            )


def _end_of_text(inputs: Inputs) -> int:
    """The token by which a model learns to stop."""
    end: int | None = inputs.tokenizer.eos_token_id
    if end is None:
        raise model_error(
            "NoEndOfText",
            f"the tokenizer of {inputs.pretrained.source} has no end-of-text token, so that the model cannot learn to stop",
            "save it with one: tokenizer.eos_token = '</s>'",
        )
    return end

"""What exactly a language model is taught: tokens and labels of each kind of row, whole."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tests.trainer.tiny_language import (
    CHAT_TEMPLATE,
    MARKED_CHAT_TEMPLATE,
    ids,
    save_llama,
    save_t5,
    write_rows,
)

from finetune_api.run import RunConfig
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.data.load_rows import load_rows
from finetune_trainer.models.pretrained import find_pretrained
from finetune_trainer.models.tokenizer import load_tokenizer
from finetune_trainer.tasks import causal_lm, seq2seq
from finetune_trainer.tasks.task import Inputs, prepare

END = "</s>"
TASKS: dict[str, tuple[Any, Any]] = {
    "causal-lm": (causal_lm, save_llama),
    "seq2seq": (seq2seq, save_t5),
}


def inputs(folder: Path, task: str, model: Path, rows: list[dict[str, Any]] | Path, **settings: Any) -> Inputs:
    """What the task gets for these rows, or for those of a file; `settings` are those of preprocessing, columns, format and evaluation."""
    columns, evaluation = settings.pop("columns", {}), settings.pop("evaluation", {})
    form = {"format": settings.pop("format")} if "format" in settings else {}
    path = rows if isinstance(rows, Path) else write_rows(folder / "rows.jsonl", rows)
    config = RunConfig.model_validate(
        {
            "task": task,
            "model": {"source": f"file://{model}"},
            "dataset": {
                "source": f"file://{path}",
                "train": {"split": "train"},
                "evaluation": {"split": "train"},
                "columns": columns,
                **form,
            },
            "preprocessing": settings,
            "evaluation": evaluation,
            "output": {"uri": f"file://{folder}/out"},
        }
    )
    pretrained = find_pretrained(config.model, {})
    train, evaluation = load_rows(config.dataset, {})
    tokenizer = load_tokenizer(pretrained, config.model)
    return Inputs(config, pretrained, tokenizer, train, evaluation, True, lambda message: None)


def taught(
    folder: Path, rows: list[dict[str, Any]], template: str | None = None, **settings: Any
) -> list[tuple[list[int], list[int]]]:
    """Tokens and labels of each row of causal-lm."""
    model = save_llama(folder / "model", template)
    examples = prepare(causal_lm, inputs(folder, "causal-lm", model, rows, packing=False, **settings)).train.dataset
    assert set(examples.column_names) == {"input_ids", "labels"}
    return list(zip(examples["input_ids"], examples["labels"], strict=True))


def masked(text: str) -> list[int]:
    return [-100] * len(text.split())


def test_all_of_a_text_is_learnt_with_its_end(tmp_path: Path) -> None:
    rows = [{"text": "the sky is blue"}, {"text": "the sea </s>"}]

    assert taught(tmp_path, rows) == [
        (ids(f"the sky is blue {END}"), [-100, *ids(f"sky is blue {END}")]),
        (ids(f"the sea {END}"), [-100, *ids(f"sea {END}")]),
    ]


def test_of_a_prompt_and_its_completion_only_the_completion_is_learnt(tmp_path: Path) -> None:
    rows = [{"prompt": "the sky is", "completion": " blue"}, {"prompt": "", "completion": "the sea is blue"}]

    assert taught(tmp_path, rows) == [
        (ids(f"the sky is blue {END}"), [*masked("the sky is"), *ids(f"blue {END}")]),
        (ids(f"the sea is blue {END}"), [-100, *ids(f"sea is blue {END}")]),
    ]


def test_prompts_are_learnt_too_where_that_is_wanted(tmp_path: Path) -> None:
    rows = [{"question": "the sky is", "completion": " blue"}]

    assert taught(tmp_path, rows, columns={"prompt": "question"}, completionOnlyLoss=False) == [
        (ids(f"the sky is blue {END}"), [-100, *ids(f"sky is blue {END}")])
    ]


def test_what_is_longer_than_max_length_is_cut_and_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "finetune_trainer")
    rows = [{"prompt": "the sky is", "completion": " blue and the sea"}, {"prompt": "the", "completion": " sea"}]

    learnt = taught(tmp_path, rows, maxLength=5)

    assert learnt[0] == (ids("the sky is blue and"), [-100, -100, -100, *ids("blue and")])
    assert "split 'train': 1 of 2 rows fill the 5 tokens of maxLength; what was beyond is cut away" in caplog.text


@pytest.mark.parametrize(
    ("task", "row"),
    [
        ("causal-lm", {"text": "the sky is " * 999}),
        ("causal-lm", {"prompt": "the sky is ", "completion": "blue and " * 999}),
        ("seq2seq", {"text": "the sky is " * 999, "target": "blue and " * 999}),
    ],
)
def test_of_a_huge_text_only_the_beginning_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str, row: dict[str, Any]
) -> None:
    module, save = TASKS[task]
    given = inputs(tmp_path, task, save(tmp_path / "model"), [row], maxLength=6, maxTargetLength=6)
    tokenize, read = transformers.PreTrainedTokenizerBase.__call__, []

    def spy(self: Any, *texts: Any, **options: Any) -> Any:
        sides = [side for side in (*texts, options.get("text"), options.get("text_target")) if side]
        read.extend(len(text) for side in sides for text in side)
        return tokenize(self, *texts, **options)

    monkeypatch.setattr(transformers.PreTrainedTokenizerBase, "__call__", spy)

    data = prepare(module, given)

    assert data.train.lengths == [6]
    assert max(read) == 6 * 64


CHAT = [
    {"role": "system", "content": "colour"},
    {"role": "user", "content": "the sky ?"},
    {"role": "assistant", "content": "blue"},
    {"role": "user", "content": "and the leaf ?"},
    {"role": "assistant", "content": "green"},
    {"role": "user", "content": "thanks"},
]
CHAT_IDS = ids(
    f"<system> colour {END} <user> the sky ? {END} <assistant> blue {END} "
    f"<user> and the leaf ? {END} <assistant> green {END} <user> thanks {END}"
)


@pytest.mark.parametrize("template", [CHAT_TEMPLATE, MARKED_CHAT_TEMPLATE])
def test_of_a_chat_each_turn_of_the_assistant_is_learnt_with_its_end(tmp_path: Path, template: str) -> None:
    answers = [
        *masked(f"<system> colour {END} <user> the sky ? {END} <assistant>"), *ids(f"blue {END}"),
        *masked(f"<user> and the leaf ? {END} <assistant>"), *ids(f"green {END}"), *masked(f"<user> thanks {END}"),
    ]  # fmt: skip

    assert taught(tmp_path, [{"messages": CHAT}], template=template) == [(CHAT_IDS, answers)]


def test_all_of_a_chat_is_learnt_where_that_is_wanted(tmp_path: Path) -> None:
    rows = [{"talk": CHAT}]

    learnt = taught(tmp_path, rows, template=CHAT_TEMPLATE, columns={"messages": "talk"}, completionOnlyLoss=False)

    assert learnt == [(CHAT_IDS, [-100, *CHAT_IDS[1:]])]


def test_the_tokens_of_another_chat_template_are_not_taken_from_the_cache(tmp_path: Path) -> None:
    taught(tmp_path, [{"messages": CHAT}], template=CHAT_TEMPLATE)

    ((tokens, _),) = taught(tmp_path, [{"messages": CHAT}], template=CHAT_TEMPLATE.replace(" </s> ", " "))

    assert tokens == [token for token in CHAT_IDS if token != ids(END)[0]]


def test_a_template_that_rewrites_earlier_turns_and_ends_none_must_mark_the_assistant_s(tmp_path: Path) -> None:
    forgetful = "{% for m in messages %}{% if loop.last %}<{{ m.role }}> {% endif %}{{ m.content }} {% endfor %}"

    with pytest.raises(TrainerError, match="writes a turn in another way when more turns follow"):
        taught(tmp_path, [{"messages": CHAT}], template=forgetful)


def test_what_is_learnt_from_and_what_is_not_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "finetune_trainer")

    taught(tmp_path, [{"text": "the sky", "messages": CHAT, "instruction": "x"}], template=CHAT_TEMPLATE)

    assert "learning from the columns messages (dataset.format messages, detected by the columns)" in caplog.text
    assert "split 'train' is read as messages, without its column 'instruction'" in caplog.text


def test_the_languages_of_a_tokenizer_that_marks_them_are_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    given = inputs(tmp_path, "seq2seq", save_t5(tmp_path / "t5"), [{"text": "the sky", "target": "blue"}])
    given.tokenizer.src_lang, given.tokenizer.tgt_lang = "eng_Latn", None

    prepare(seq2seq, given)

    assert "it takes texts as eng_Latn and targets as None" in caplog.text


@pytest.mark.parametrize(("model_s_own", "longest"), [(64, 64), (131_072, 1024)])
def test_sequences_have_at_most_1024_tokens_where_nothing_is_said(
    tmp_path: Path, model_s_own: int, longest: int
) -> None:
    model = save_llama(tmp_path / "model", longest=model_s_own)

    data = prepare(causal_lm, inputs(tmp_path, "causal-lm", model, [{"text": "the sky"}]))

    assert data.longest == longest


def test_a_target_is_learnt_up_to_its_length_and_the_decoder_reads_it_shifted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [{"en": "the sky", "colour": "blue"}, {"en": "the sea and the snow", "colour": "blue and white"}]
    columns = {"text": "en", "target": "colour"}
    settings = {"columns": columns, "sourcePrefix": "what is ", "maxTargetLength": 3}
    given = inputs(tmp_path, "seq2seq", save_t5(tmp_path / "t5"), rows, **settings)

    caplog.set_level("INFO", "finetune_trainer")
    data = prepare(seq2seq, given)
    data.load_model(given.pretrained)
    batch = data.collate(list(data.train.dataset))

    assert {name: tensor.tolist() for name, tensor in batch.items()} == {
        "input_ids": [[*ids(f"what is the sky {END}"), 0, 0, 0], ids(f"what is the sea and the snow {END}")],
        "attention_mask": [[1] * 5 + [0] * 3, [1] * 8],
        "labels": [[*ids(f"blue {END}"), -100], ids(f"blue and {END}")],
        "decoder_input_ids": [[0, *ids(f"blue {END}")], [0, *ids("blue and")]],
    }
    assert "1 of 2 rows fill the 3 tokens of maxTargetLength; what was beyond is cut away" in caplog.text


@pytest.mark.parametrize("own", [{}, {"max_new_tokens": 9}, {"max_length": 9}, {"max_new_tokens": 9, "max_length": 7}])
def test_the_model_writes_up_to_max_target_length_whatever_its_own_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: dict[str, int]
) -> None:
    folder = save_t5(tmp_path / "t5")
    (folder / "generation_config.json").write_text(json.dumps({"decoder_start_token_id": 0, "pad_token_id": 0, **own}))
    given = inputs(tmp_path, "seq2seq", folder, [{"text": "the sky", "target": "blue"}], maxTargetLength=3)

    monkeypatch.setattr("transformers.generation.utils.logger.warning", pytest.fail)

    data = prepare(seq2seq, given)
    written = data.load_model(given.pretrained).model.generate(
        torch.tensor([ids("the sky")]), **data.scoring.generation
    )

    assert written.shape == (1, 1 + 3)


@pytest.mark.parametrize("truncation", [True, False])
def test_every_batch_can_be_padded_to_max_length(tmp_path: Path, truncation: bool) -> None:
    rows = [{"text": "the sky", "target": "blue"}, {"text": "the sea and the snow", "target": "blue and white"}]
    settings = {"padding": "max_length", "maxLength": 10, "maxTargetLength": 12, "truncation": truncation}

    data = prepare(seq2seq, inputs(tmp_path, "seq2seq", save_t5(tmp_path / "t5"), rows, **settings))
    batch = data.collate(list(data.train.dataset))

    assert data.train.lengths == [3, 6]
    assert batch["attention_mask"].tolist() == [[1] * 3 + [0] * 7, [1] * 6 + [0] * 4]
    assert (batch["input_ids"].shape, batch["labels"].shape) == ((2, 10), (2, 4))


@pytest.mark.parametrize("end", [END, f" {END}"])
def test_a_text_and_a_target_with_their_own_end_have_no_second_one(tmp_path: Path, end: str) -> None:
    rows = [{"text": f"the sky{mark}", "target": f"blue{mark}"} for mark in ("", end)]

    data = prepare(seq2seq, inputs(tmp_path, "seq2seq", save_t5(tmp_path / "t5"), rows))

    for column in ("input_ids", "attention_mask", "labels"):
        assert data.train.dataset[column][0] == data.train.dataset[column][1]
    assert data.train.lengths[0] == data.train.lengths[1]


def test_texts_may_be_fields_of_a_column(tmp_path: Path) -> None:
    rows = [{"translation": {"en": "the sky", "colour": "blue"}}]
    columns = {"text": "translation.en", "target": "translation.colour"}
    given = inputs(tmp_path, "seq2seq", save_t5(tmp_path / "t5"), rows, columns=columns)

    data = prepare(seq2seq, given)

    assert data.train.dataset.to_list() == [
        {"input_ids": ids(f"the sky {END}"), "attention_mask": [1, 1, 1], "labels": ids(f"blue {END}")}
    ]
    assert data.columns == ["translation.en", "translation.colour"]
    assert given.train.fingerprint(data.columns).startswith("sha256:")


@pytest.mark.parametrize(
    ("task", "evaluation", "names"),
    [
        ("causal-lm", {}, ["perplexity"]),
        ("causal-lm", {"bestMetric": "accuracy"}, ["perplexity", "accuracy"]),
        ("causal-lm", {"metrics": []}, []),
        ("seq2seq", {}, ["rouge1", "rouge2", "rougeL"]),
        ("seq2seq", {"bestMetric": "sacrebleu"}, ["rouge1", "rouge2", "rougeL", "sacrebleu"]),
        ("seq2seq", {"metrics": []}, []),
    ],
)
def test_the_best_metric_is_computed_though_no_metrics_are_named(
    tmp_path: Path, task: str, evaluation: dict[str, Any], names: list[str]
) -> None:
    module, save = TASKS[task]
    rows = [{"text": "the sky", "target": "blue"}]

    scores = prepare(
        module, inputs(tmp_path, task, save(tmp_path / "model"), rows, evaluation=evaluation)
    ).scoring.scores()
    scores.add_batch(np.ones((1, 3), dtype=np.int64), np.ones((1, 3), dtype=np.int64))

    assert [name for name in scores.compute(loss=0.0) if name != "loss"] == names

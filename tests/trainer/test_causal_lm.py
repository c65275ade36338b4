"""Language models learn to go on with a text, to answer a prompt, and to chat."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tests.trainer.test_stop_and_resume import at_step, outcome, stopped
from tests.trainer.tiny import Settings, Train
from tests.trainer.tiny_language import (
    CHAT_TEMPLATE,
    CHATML,
    COLOUR_OF,
    MARKED_CHAT_TEMPLATE,
    byte_tokenizer,
    chats,
    questions,
    save_byte_llama,
    save_llama,
    sentences,
    word_tokenizer,
    write_rows,
)

from finetune_api.report import ExitCode

ENGINES = ["trainer", "pytorch"]
Rows = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A run of 30 epochs that learns six sentences by heart."""
    return {
        "task": "causal-lm",
        "model": {"source": f"file://{save_llama(tmp_path / 'llama')}"},
        "dataset": {
            "source": f"file://{write_rows(tmp_path / 'rows.jsonl', sentences())}",
            "train": {"split": "train"},
            "evaluation": {"split": "train"},
        },
        "preprocessing": {"packing": False},
        "training": {"epochs": 30, "batchSize": 2, "learningRate": 0.01, "arguments": {"weight_decay": 0}},
        "evaluation": {"strategy": "steps", "steps": 90, "metrics": ["accuracy", "perplexity"]},
        "checkpoints": {"strategy": "steps", "steps": 90},
        "output": {"uri": f"file://{tmp_path}/out"},
        "gpus": 0,
    }


def use_rows(settings: Settings, folder: Path, rows: list[dict[str, Any]]) -> None:
    settings["dataset"]["source"] = f"file://{write_rows(folder / 'other.jsonl', rows)}"


def use_template(settings: Settings, folder: Path, template: str) -> None:
    word_tokenizer(template).save_pretrained(folder / "llama")


def answer(folder: Path, prompt: str) -> str:
    """What the exported model goes on with, special tokens included."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    asked = tokenizer(prompt, return_tensors="pt")
    written = model.generate(**asked, max_new_tokens=4, do_sample=False)
    return str(tokenizer.decode(written[0, asked["input_ids"].shape[1] :]))


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_a_model_learns_texts_and_where_they_end(settings: Settings, train: Train, tmp_path: Path, engine: str) -> None:
    settings["training"]["engine"] = engine

    ended = train(settings)

    metrics = {metric.name: float(metric.value) for metric in ended.final.evaluations[-1].metrics}
    assert list(metrics) == ["eval_loss", "eval_accuracy", "eval_perplexity"]
    # Which of the six things comes cannot be foretold, the three tokens after it can.
    assert metrics["eval_accuracy"] == pytest.approx((1 / 6 + 3) / 4, rel=1e-3)
    assert metrics["eval_perplexity"] == pytest.approx(2.718281828 ** metrics["eval_loss"], rel=1e-3)
    assert [answer(tmp_path / "out/model", f"the {thing} is") for thing in COLOUR_OF] == [
        f"{colour} </s>" for colour in COLOUR_OF.values()
    ]


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("packing", [False, True])
def test_a_model_learns_to_answer_prompts(
    settings: Settings, train: Train, tmp_path: Path, engine: str, packing: bool
) -> None:
    use_rows(settings, tmp_path, questions())
    settings["training"]["engine"] = engine
    settings["preprocessing"]["packing"] = packing
    settings["training"]["epochs"] = 90 if packing else 30  # packed, an epoch is one step

    ended = train(settings)

    metrics = {metric.name: float(metric.value) for metric in ended.final.evaluations[-1].metrics}
    assert metrics["eval_accuracy"] == 1
    assert [answer(tmp_path / "out/model", row["prompt"]) for row in questions()] == [
        f"{row['completion'].strip()} </s>" for row in questions()
    ]


@pytest.mark.slow
@pytest.mark.parametrize("template", [CHAT_TEMPLATE, MARKED_CHAT_TEMPLATE])
def test_a_model_learns_to_chat(settings: Settings, train: Train, tmp_path: Path, template: str) -> None:
    use_rows(settings, tmp_path, chats())
    use_template(settings, tmp_path, template)

    ended = train(settings)

    assert ended.code == 0
    assert answer(tmp_path / "out/model", "<user> what colour is the rose ? </s> <assistant>") == "red </s>"
    kept = transformers.AutoTokenizer.from_pretrained(tmp_path / "out/model")
    assert kept.chat_template == template


@pytest.mark.parametrize("engine", ENGINES)
def test_of_a_chat_in_chatml_the_answers_and_their_ends_are_scored_and_no_line_break(
    settings: Settings, train: Train, tmp_path: Path, engine: str
) -> None:
    use_rows(settings, tmp_path, chats())
    tokenizer = byte_tokenizer(CHATML, ("<|im_start|>", "<|im_end|>"))
    folder = save_byte_llama(tmp_path / "bytes", tokenizer)
    settings["model"]["source"] = f"file://{folder}"
    settings["training"] |= {"engine": engine, "epochs": 0.1, "learningRate": 1e-12}
    settings["evaluation"] = {"strategy": "epoch", "metrics": ["accuracy"]}

    ended = train(settings)

    model = transformers.AutoModelForCausalLM.from_pretrained(folder).float()
    losses, right = [], []
    for row in chats():
        tokens: list[int] = []
        learnt: list[bool] = []
        for turn in row["messages"]:
            head = tokenizer(f"<|im_start|>{turn['role']}\n")["input_ids"]
            said = tokenizer(f"{turn['content']}<|im_end|>")["input_ids"]
            tokens += [*head, *said, *tokenizer("\n")["input_ids"]]
            learnt += [False] * len(head) + [turn["role"] == "assistant"] * len(said) + [False]
        with torch.no_grad():
            logits = model(torch.tensor([tokens])).logits[0, :-1]
        wanted = torch.tensor(tokens[1:])
        kept = torch.tensor(learnt[1:])
        losses.append(torch.nn.functional.cross_entropy(logits, wanted, reduction="none")[kept])
        right.append((logits.argmax(-1) == wanted)[kept])
    metrics = {metric.name: float(metric.value) for metric in ended.final.evaluations[-1].metrics}
    assert metrics["eval_loss"] == pytest.approx(float(torch.cat(losses).mean()), rel=1e-4)
    assert metrics["eval_accuracy"] == pytest.approx(float(torch.cat(right).float().mean()), abs=1e-6)


def test_texts_are_packed_where_nothing_is_said_and_the_model_keeps_them_apart(
    settings: Settings, train: Train
) -> None:
    del settings["preprocessing"]
    settings["training"]["epochs"] = 1

    ended = train(settings)

    assert "split 'train': 6 texts packed into 1 sequences of at most 64 tokens" in ended.said
    assert ended.final.progress
    assert ended.final.progress.total_steps == 1
    assert ended.final.provenance
    assert "trl" in (ended.final.provenance.versions or {})


def test_packed_texts_are_evaluated_as_they_are_alone(settings: Settings, train: Train, tmp_path: Path) -> None:
    use_rows(settings, tmp_path, questions())
    settings["training"] |= {"epochs": 0.1, "learningRate": 1e-12}
    settings["evaluation"] = {"strategy": "epoch", "metrics": ["accuracy", "perplexity"]}
    evaluated = []

    for packing in (False, True):
        settings["preprocessing"]["packing"] = packing
        settings["output"] = {"uri": f"file://{tmp_path}/{packing}"}
        final = train(settings).final
        evaluated.append([float(metric.value) for metric in final.evaluations[-1].metrics])

    assert evaluated[1] == pytest.approx(evaluated[0], rel=1e-4)


@pytest.mark.slow
def test_a_stopped_run_ends_as_one_that_was_not(settings: Settings, train: Train, tmp_path: Path) -> None:
    use_rows(settings, tmp_path, questions())
    settings["training"] |= {"epochs": 4, "arguments": {"logging_steps": 1}}
    settings["evaluation"] = settings["checkpoints"] = {"strategy": "steps", "steps": 6}
    assert train(settings | {"output": {"uri": f"file://{tmp_path}/whole"}}).code == 0

    ended = stopped(settings, train, at_step(5))
    resumed = train(settings)

    assert (ended.code, resumed.code, resumed.final.resumed_from_step) == (ExitCode.STOPPED, 0, 5)
    assert outcome(tmp_path / "out")[0] == outcome(tmp_path / "whole")[0]


def test_rows_whose_prompt_leaves_no_room_for_the_answer_are_left_out(
    settings: Settings, train: Train, tmp_path: Path
) -> None:
    rows = [*questions(), {"prompt": "what " * 12, "completion": " blue"}]
    use_rows(settings, tmp_path, rows)
    settings["preprocessing"]["maxLength"] = 12
    settings["training"]["epochs"] = 1

    ended = train(settings)

    assert ended.code == 0
    assert (
        "split 'train': 1 of 7 rows are left out, since what is asked fills the 12 tokens of maxLength; "
        "the first is row 7 of split 'train'" in ended.said
    )
    assert ended.final.progress
    assert ended.final.progress.total_steps == 3


def messages(*turns: tuple[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


@pytest.mark.parametrize(
    ("rows", "reason", "told"),
    [
        ([{"text": "the sky"}, {"text": " "}], "EmptyText", "column 'text' has nothing to learn in row 2"),
        ([{"text": "\u200b\ufeff"}], "EmptyText", "column 'text' has nothing to learn in row 1"),
        ([{"prompt": "what", "completion": ""}], "EmptyText", "column 'completion' has nothing to learn in row 1"),
        ([{"prompt": "what", "completion": 3}], "ColumnType", "column 'completion' of split 'train' holds int64"),
        ([{"prompt": "what", "answer": "red"}], "ColumnNotFound", "no column 'text', only prompt, answer"),
        (
            [{"prompt": "what " * 80, "completion": "red"}],
            "NothingToLearn",
            "each prompt of split 'train' is longer than 64 tokens",
        ),
        ([{"messages": "hello"}], "BadChat", "row 1 of split 'train' (counted from 1): it is not a list"),
        ([messages()], "BadChat", "the assistant says nothing in it: there are no turns"),
        ([messages(("user", "what"))], "BadChat", "the assistant says nothing in it: there are only turns of user"),
        (
            [messages(("user", "what"), ("assistant", "red")), messages(("user", "what"), ("assistant", None))],
            "BadChat",
            "row 2 of split 'train' (counted from 1): message 2 (assistant) has no content that is text",
        ),
        (
            [{"messages": [{"speaker": "human", "text": "what"}]}],
            "BadChat",
            "message 1 has no role, only speaker, text",
        ),
        (
            [{"messages": [{"from": "critic", "value": "what"}]}],
            "BadChat",
            "message 1 is from 'critic', which is none of",
        ),
        (
            [messages(("tool", "what"), ("assistant", "red"))],
            "BadChat",
            "the model's chat template refuses it: roles are system, user and assistant",
        ),
    ],
)
def test_rows_that_cannot_be_learnt_are_named(
    settings: Settings, train: Train, tmp_path: Path, rows: list[dict[str, Any]], reason: str, told: str
) -> None:
    use_rows(settings, tmp_path, rows)
    use_template(settings, tmp_path, CHAT_TEMPLATE)

    ended = train(settings)

    failure = ended.final.failure
    assert failure
    assert (ended.code, failure.reason) == (ExitCode.DATA, reason)
    assert told in failure.message
    assert failure.hint


def test_a_chat_needs_a_template(settings: Settings, train: Train, tmp_path: Path) -> None:
    use_rows(settings, tmp_path, chats())

    ended = train(settings)

    failure = ended.final.failure
    assert failure
    assert (ended.code, failure.reason) == (ExitCode.MODEL, "NoChatTemplate")
    assert "use the chat or instruct version of the model" in (failure.hint or "")


def test_an_encoder_is_refused(settings: Settings, train: Train, model: Path) -> None:
    settings["model"]["source"] = f"file://{model}"

    ended = train(settings)

    failure = ended.final.failure
    assert failure
    assert (ended.code, failure.reason) == (ExitCode.MODEL, "TaskNotSupported")
    assert "bert models such as" in failure.message
    assert "read in both directions" in failure.message


def test_packing_is_refused_where_texts_would_see_each_other(settings: Settings, train: Train, tmp_path: Path) -> None:
    config = transformers.OPTConfig(
        vocab_size=32, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, ffn_dim=16, word_embed_proj_dim=16,
        max_position_embeddings=64,
    )  # fmt: skip
    transformers.OPTForCausalLM(config).save_pretrained(tmp_path / "llama")
    settings["preprocessing"]["packing"] = True

    ended = train(settings)

    failure = ended.final.failure
    assert failure
    assert (ended.code, failure.message) == (
        ExitCode.BAD_CONFIGURATION,
        "preprocessing.packing: in a model of type opt the texts of a sequence would see each other",
    )


def test_a_chat_and_prompts_cannot_both_be_named(settings: Settings, train: Train) -> None:
    settings["dataset"]["columns"] = {"messages": "chat", "prompt": "question"}

    ended = train(settings)

    assert ended.final.failure
    assert (ended.code, ended.final.failure.message) == (
        ExitCode.BAD_CONFIGURATION,
        "dataset.columns: messages cannot go with prompt and completion",
    )


@pytest.mark.parametrize(
    ("published", "kept"),
    [
        ({"temperature": 0.6, "top_p": 0.9}, {"temperature": 0.6, "top_p": 0.9, "do_sample": True}),
        ({"temperature": 0.6, "do_sample": False, "length_penalty": 2.0}, {"do_sample": False}),
        ({"early_stopping": True, "num_beams": 1, "temperature": 0.6}, {"num_beams": 1, "temperature": 0.6, "do_sample": True}),
    ],
)  # fmt: skip
def test_a_model_whose_generation_settings_contradict_each_other_is_saved_without_those_that_have_no_effect(
    settings: Settings, train: Train, tmp_path: Path, published: dict[str, Any], kept: dict[str, Any]
) -> None:
    (tmp_path / "llama/generation_config.json").write_text(json.dumps({**published, "eos_token_id": [2, 1]}))
    settings["training"]["epochs"] = 0.1

    ended = train(settings)

    assert ended.code == 0
    exported = json.loads((tmp_path / "out/model/generation_config.json").read_text())
    del exported["transformers_version"]
    assert exported == {**kept, "eos_token_id": [2, 1], "pad_token_id": 0}

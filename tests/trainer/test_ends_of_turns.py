"""What was trained to end its turn ends there when it is exported: `generate` knows the token, whatever its name."""

from pathlib import Path
from typing import Any

import pytest
import transformers
from tests.trainer.tiny import Settings, Train
from tests.trainer.tiny_language import VOCABULARY, chats, questions, save_llama, word_tokenizer, write_rows

from finetune_trainer.data.chats.template import find_chat_template

# The turn ends in a token of its own, which is not the end of the text; `<system>` plays ChatML's `<|im_end|>`.
TURNS = (
    "{% for m in messages %}<{{ m.role }}> {{ m.content }} <system> {% endfor %}"
    "{% if add_generation_prompt %}<assistant> {% endif %}"
)
END, TURN_END = VOCABULARY.index("</s>"), VOCABULARY.index("<system>")


@pytest.fixture
def chat(settings: Settings, tmp_path: Path) -> Settings:
    settings |= {
        "task": "causal-lm",
        "model": {"source": f"file://{save_llama(tmp_path / 'llama', TURNS)}"},
        "dataset": {"source": f"file://{write_rows(tmp_path / 'rows.jsonl', chats())}", "train": {"split": "train"}},
        "training": {"epochs": 1, "batchSize": 6},
        "evaluation": {},
        "preprocessing": {"packing": False},
    }
    return settings


def ends(folder: Path) -> Any:
    return transformers.GenerationConfig.from_pretrained(folder).eos_token_id


@pytest.mark.slow
def test_a_model_of_chats_stops_where_its_turn_ends(chat: Settings, train: Train, tmp_path: Path) -> None:
    chat["training"] = {"epochs": 60, "batchSize": 6, "learningRate": 0.01}

    ended = train(chat)

    assert ended.code == 0
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out/model")
    assert model.generation_config.eos_token_id == [END, TURN_END]
    asked = word_tokenizer()("<user> what colour is the sky ? <system> <assistant>", return_tensors="pt")
    written = model.generate(**asked, max_new_tokens=20, do_sample=False)[0, asked["input_ids"].shape[1] :]
    assert [VOCABULARY[token] for token in written] == ["blue", "<system>"]


@pytest.mark.parametrize("engine", ["trainer", "pytorch"])
@pytest.mark.parametrize("merge", [False, True])
def test_an_adapter_says_so_beside_its_base_and_a_merged_model_itself(
    chat: Settings, train: Train, tmp_path: Path, engine: str, merge: bool
) -> None:
    chat["training"] |= {"engine": engine, "lora": {"rank": 2, "merge": merge}}

    assert train(chat).code == 0

    if merge:
        assert ends(tmp_path / "out/model") == [END, TURN_END]
    adapter = tmp_path / "out" / ("adapter" if merge else "model")
    assert ends(adapter / "base") == [END, TURN_END]


@pytest.mark.parametrize(
    "row",
    [
        {"conversations": [{"from": "human", "value": "what"}, {"from": "gpt", "value": "red"}]},
        {"instruction": "what", "input": "", "output": "red"},
        {"prompt": [{"role": "user", "content": "what"}], "completion": [{"role": "assistant", "content": "red"}]},
    ],
)
def test_whatever_the_chat_template_writes_ends_where_its_turns_end(
    chat: Settings, train: Train, tmp_path: Path, row: dict[str, Any]
) -> None:
    write_rows(tmp_path / "rows.jsonl", [row])

    assert train(chat).code == 0

    assert ends(tmp_path / "out/model") == [END, TURN_END]


def test_where_no_chat_is_learnt_the_ends_stay(chat: Settings, train: Train, tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.jsonl", questions())

    assert train(chat).code == 0

    assert ends(tmp_path / "out/model") == END


@pytest.mark.parametrize(
    ("template", "token"),
    [
        (TURNS, "<system>"),
        ("{% for m in messages %}<{{ m.role }}> {{ m.content }} </s> {% endfor %}", "</s>"),
        # Phi-3's end of text after the last turn is not what ends the turn.
        (TURNS + "{% if not add_generation_prompt %} </s>{% endif %}", "<system>"),
        # Words before the end, as in templates with a closing tag.
        ("{% for m in messages %}{{ m.content }} thanks <system> {% endfor %}", "<system>"),
        ("{% for m in messages %}{{ m.role }}: {{ m.content }} \n{% endfor %}", None),
        ("{{ raise_exception('never') }}", None),
    ],
)
def test_the_end_of_a_turn_is_read_off_the_template(template: str, token: str | None) -> None:
    found = find_chat_template(word_tokenizer(template), "a model").stop_token

    assert found == (None if token is None else VOCABULARY.index(token))


@pytest.mark.parametrize("engine", ["trainer", "pytorch"])
@pytest.mark.parametrize("lora", [None, {"rank": 2}, {"rank": 2, "merge": True}])
def test_the_export_keeps_a_cache_for_writing_as_the_pretrained_model_did(
    chat: Settings, train: Train, tmp_path: Path, engine: str, lora: dict[str, Any] | None
) -> None:
    chat["training"] |= {"engine": engine, **({"lora": lora} if lora else {})}

    assert train(chat).code == 0

    where = "base" if lora == {"rank": 2} else ""
    assert transformers.AutoConfig.from_pretrained(tmp_path / "out/model" / where).use_cache is True
    if not lora:
        checkpoint = next((tmp_path / "out/checkpoints").iterdir())
        assert transformers.AutoConfig.from_pretrained(checkpoint).use_cache is True


def test_a_model_that_was_pretrained_without_a_cache_is_exported_without(
    chat: Settings, train: Train, tmp_path: Path
) -> None:
    config = transformers.AutoConfig.from_pretrained(tmp_path / "llama")
    config.use_cache = False
    config.save_pretrained(tmp_path / "llama")

    assert train(chat).code == 0

    assert transformers.AutoConfig.from_pretrained(tmp_path / "out/model").use_cache is False

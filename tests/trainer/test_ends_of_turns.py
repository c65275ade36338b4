"""What was trained to end its turn ends there when it is exported: `generate` knows the token, whatever its name."""

from pathlib import Path
from typing import Any

import pytest
import transformers
from tests.trainer.test_language_labels import inputs
from tests.trainer.tiny import Settings, Train
from tests.trainer.tiny_language import (
    CHATML,
    MARKED_CHAT_TEMPLATE,
    VOCABULARY,
    byte_tokenizer,
    chats,
    questions,
    save_byte_llama,
    save_llama,
    word_tokenizer,
    write_rows,
)

from finetune_api.report import ExitCode
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.base.run_warnings import collected
from finetune_trainer.data.chats.template import find_chat_template
from finetune_trainer.tasks import causal_lm
from finetune_trainer.tasks.task import prepare

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
        ("{% for m in messages %}{{ m.content }} <|im_end|> {% endfor %}", None),
    ],
)
def test_the_end_of_a_turn_is_read_off_the_template(template: str, token: str | None) -> None:
    found = find_chat_template(word_tokenizer(template), "a model").stop_token

    assert found == (None if token is None else VOCABULARY.index(token))


MARKED = "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}END{% endgeneration %}{% else %}{{ m.content }}{% endif %}{% endfor %}"
PHI = CHATML + "{% if not add_generation_prompt %}{{ eos_token }}{% endif %}"


def learn_chats(folder: Path, tokenizer: Any, **settings: Any) -> list[tuple[str, str]]:
    """What is warned of."""
    told: list[tuple[str, str]] = []
    with collected(lambda reason, message: told.append((reason, message))):
        prepare(
            causal_lm, inputs(folder, "causal-lm", save_byte_llama(folder / "model", tokenizer), chats(), **settings)
        )
    return list(dict.fromkeys(told))


@pytest.mark.parametrize(
    ("template", "mark", "settings"),
    [
        (CHATML, "<|im_end|>", {}),
        (CHATML, "<|im_end|>", {"completionOnlyLoss": False}),
        (MARKED.replace("END", "<|im_end|>"), "<|im_end|>", {}),
        (PHI, "<|im_end|>", {}),
        ("{% for m in messages %}[{{ m.role }}] {{ m.content }} </s>\n{% endfor %}", "</s>", {}),
        ("{% for m in messages %}{{ m.role }}: {{ m.content }}[/TURN]{% endfor %}", "[/TURN]", {}),
    ],
)
def test_a_template_whose_end_of_turn_is_no_token_is_refused_with_the_remedy(
    tmp_path: Path, template: str, mark: str, settings: dict[str, Any]
) -> None:
    with pytest.raises(TrainerError) as refused:
        learn_chats(tmp_path, byte_tokenizer(template), **settings)

    assert (refused.value.exit_code, refused.value.reason) == (ExitCode.MODEL, "TurnEndIsNoToken")
    assert refused.value.message == (
        f"the chat template of file://{tmp_path}/model ends turns by {mark!r}, which is no token of its tokenizer: "
        "generation would never stop there"
    )
    assert refused.value.hint is not None
    assert f"tokenizer.add_special_tokens({{'additional_special_tokens': [{mark!r}]}})" in refused.value.hint
    assert "'<eos>' in chat_template" in refused.value.hint


def test_the_remedy_makes_it_right(tmp_path: Path) -> None:
    tokenizer = byte_tokenizer(CHATML)

    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_end|>"]})

    assert learn_chats(tmp_path, tokenizer) == []


def test_a_mark_that_the_tokenizer_takes_for_an_unknown_word_is_no_token(tmp_path: Path) -> None:
    tokenizer = word_tokenizer("{% for m in messages %}<{{ m.role }}> {{ m.content }} <|im_end|> {% endfor %}")

    with pytest.raises(TrainerError, match=r"ends turns by '<\|im_end\|>', which is no token"):
        learn_chats(tmp_path, tokenizer)


@pytest.mark.parametrize(
    ("template", "settings"),
    [
        (CHATML.replace("<|im_end|>", "<|im_end|><eos>"), {}),
        ("{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<eos>\n{% endfor %}", {}),
        ("{% for m in messages %}{{ m.content }}<eos>[/TURN]{% endfor %}", {}),
        (PHI, {"completionOnlyLoss": False}),  # all is learnt, and with it the end of text after the last turn
    ],
)
def test_turns_that_end_in_the_end_of_text_need_no_mark_of_their_own(
    tmp_path: Path, template: str, settings: dict[str, Any]
) -> None:
    assert learn_chats(tmp_path, byte_tokenizer(template), **settings) == []


def test_a_word_at_the_end_of_turns_is_learnt_and_it_is_said_that_generation_goes_on_after_it(tmp_path: Path) -> None:
    template = "{% for m in messages %}{{ m.role }}: {{ m.content }} over.\n{% endfor %}"

    told = learn_chats(tmp_path, byte_tokenizer(template))

    assert [reason for reason, _ in told] == ["TurnsHaveNoEnd"]
    assert "ends turns of the assistant by 'over.', which is no token" in told[0][1]


@pytest.mark.parametrize("end", ["</s>", "<system>"])
def test_a_template_that_marks_answers_is_taken_with_a_tokenizer_that_has_no_words_for_yes_and_no(
    tmp_path: Path, end: str
) -> None:
    tokenizer = word_tokenizer(MARKED_CHAT_TEMPLATE.replace("</s>", end))

    told = learn_chats(tmp_path, tokenizer)

    assert tokenizer("yes no")["input_ids"] == [tokenizer.unk_token_id] * 2
    assert told == []
    assert find_chat_template(tokenizer, "a model").stop_token == VOCABULARY.index(end)


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{% for m in messages %}{{ m.content }", "writes no chat: unexpected '}'"),
        ("{{ messages | nofilter }}", "writes no chat: No filter named 'nofilter'."),
        (CHATML + "{{ persona.name }}", "writes no chat: 'persona' is undefined"),
        ({"rag": CHATML, "tool_use": CHATML}, "has none that is called default, only rag, tool_use"),
        ("hello<|im_end|>", "does not write what the assistant says"),
        (
            "{% for m in messages %}<|im_start|>{{ m.role }}<|im_end|>{% endfor %}",
            "does not write what the assistant says",
        ),
        (
            MARKED.replace("== 'assistant'", "== 'user'").replace("END", "<|im_end|>"),
            "marks by {% generation %} something else than what the assistant says",
        ),
        (
            "{% for m in messages %}{% generation %}{{ m.content }}<|im_end|>{% endgeneration %}{% endfor %}",
            "marks by {% generation %} something else than what the assistant says",
        ),
        (
            CHATML.replace("if add_generation_prompt", "if true"),
            "asks for one more answer at the end of each chat, which would be learnt, whatever add_generation_prompt is",
        ),
        (
            "{% for m in messages %}### {{ m.role }}:\n{{ m.content }}<eos>\n{% endfor %}### assistant:\n",
            "asks for one more answer at the end of each chat, which would be learnt, whatever add_generation_prompt is",
        ),
    ],
)
def test_a_template_that_cannot_be_used_for_any_chat_is_the_model_s_failure(
    tmp_path: Path, template: Any, why: str
) -> None:
    with pytest.raises(TrainerError) as refused:
        learn_chats(tmp_path, byte_tokenizer(template, ["<|im_start|>", "<|im_end|>"]))

    assert (refused.value.exit_code, refused.value.reason) == (ExitCode.MODEL, "ChatTemplateUnfit")
    assert refused.value.message == f"the chat template of file://{tmp_path}/model {why}"


TOOL = {"type": "function", "function": {"name": "see", "parameters": {"type": "object", "properties": {}}}}


@pytest.mark.parametrize(
    "template",
    [
        "{% if messages[0].role != 'system' %}{{ raise_exception('a system first') }}{% endif %}" + CHATML,
        "{{ (messages | selectattr('role', 'equalto', 'system') | first).content }}" + CHATML,
        "{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}" + CHATML,
    ],
)
def test_a_template_that_needs_a_system_turn_or_tools_is_known_by_chats_that_have_them(
    tmp_path: Path, template: str
) -> None:
    tokenizer = byte_tokenizer(template, ["<|im_start|>", "<|im_end|>"])
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    rows = [{"messages": [{"role": "system", "content": "be"}, *row["messages"]], "tools": [TOOL]} for row in chats()]
    told: list[str] = []

    with collected(lambda reason, message: told.append(reason)):
        model = save_byte_llama(tmp_path / "model", tokenizer)
        data = prepare(causal_lm, inputs(tmp_path, "causal-lm", model, rows, packing=False))

    assert set(told) <= {"NotInTemplate"}
    assert find_chat_template(tokenizer, "a model").stop_token == end
    assert {[label for label in row["labels"] if label != -100][-1] for row in data.train.dataset} == {end}


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        (CHATML.replace("if add_generation_prompt", "if true"), "ChatTemplateUnfit"),
        (CHATML.replace("<|im_end|>", "<|ended|>"), "TurnEndIsNoToken"),
    ],
)
def test_a_template_that_needs_a_system_turn_is_checked_with_one(tmp_path: Path, template: str, reason: str) -> None:
    needs = "{% if messages[0].role != 'system' %}{{ raise_exception('a system first') }}{% endif %}"

    with pytest.raises(TrainerError) as refused:
        learn_chats(tmp_path, byte_tokenizer(needs + template, ["<|im_start|>", "<|im_end|>"]))

    assert refused.value.reason == reason


def test_a_template_that_ends_the_text_as_it_parts_a_question_from_its_answer_asks_for_nothing(tmp_path: Path) -> None:
    parted = "{{ '<eos>' if m.role == 'user' or loop.last else '\n' }}"

    told = learn_chats(tmp_path, byte_tokenizer(f"{{% for m in messages %}}{{{{ m.content }}}}{parted}{{% endfor %}}"))

    assert [reason for reason, _ in told] == ["TurnsHaveNoEnd"]


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

"""A text begins and ends once."""

from pathlib import Path

import pytest
from tests.trainer.chats.teaching import ANSWERED, ASKED, assistant, chat, taught, user
from tests.trainer.tiny_language import CHATML


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("<bos>[INST] a [/INST] b<eos>", "<bos>[INST] a [/INST] b<eos>"),
        ("[INST] a [/INST] b", "<bos>[INST] a [/INST] b<eos>"),
        ("<bos>a<eos>\n", "<bos>a<eos>"),
        (" <bos>a<eos> ", "<bos>a<eos>"),
        ("\ufeff<bos>a<eos>\u200b", "<bos>a<eos>"),
        ("\n\t<bos>a", "<bos>a<eos>"),
        ("<bos>a<eos><bos>b<eos>", "<bos>a<eos><bos>b<eos>"),
    ],
)
@pytest.mark.parametrize("prompted", [False, True])
def test_a_text_has_one_beginning_and_one_end(tmp_path: Path, text: str, tokens: str, prompted: bool) -> None:
    middle = text.index("a")
    row = {"prompt": text[:middle], "completion": text[middle:]} if prompted else {"text": text}

    rows, _ = taught(tmp_path, [row], None, begins=True)

    assert rows == [(tokens, tokens[tokens.index("a") :] if prompted else tokens.removeprefix("<bos>"))]


@pytest.mark.parametrize("begin", ["<bos>", " <bos>", "\n<bos>"])
def test_a_completion_has_no_beginning_of_its_own_behind_that_of_the_prompt(tmp_path: Path, begin: str) -> None:
    row = {"prompt": "why?", "completion": f"{begin}so.<eos>"}

    assert taught(tmp_path, [row], None, begins=True)[0] == [("<bos>why?so.<eos>", "so.<eos>")]


def test_a_chat_begins_once_though_tokenizer_and_template_both_write_the_beginning(tmp_path: Path) -> None:
    rows, _ = taught(tmp_path, [chat(ASKED, ANSWERED)], "<bos>" + CHATML, begins=True)

    assert rows == [("<bos>" + user("why?") + assistant("so."), "so.<|im_end|>")]

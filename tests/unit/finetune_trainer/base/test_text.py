"""What shows nothing is empty, whatever it is made of."""

import pytest

from finetune_trainer.base.text import is_blank


@pytest.mark.parametrize(
    "text",
    ["", " \t\n", "\u00a0\u3000\u2028", "\u200b", "\ufeff", "\u200b \u200d\u2060", "\u00ad", "\u3164\u2800", "\ufe0f"],
)
def test_what_cannot_be_seen_is_blank(text: str) -> None:
    assert is_blank(text)


@pytest.mark.parametrize("text", ["a", " . ", "\ufeffa", "0", "👍", "\u0301", "ا\u200c", "一"])
def test_what_can_be_seen_is_not(text: str) -> None:
    assert not is_blank(text)

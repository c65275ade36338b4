"""A model's JSON, however deep it is."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from finetune_trainer.models.model_files import read_json


@pytest.fixture
def raised_limit() -> Iterator[None]:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10**6)
    yield
    sys.setrecursionlimit(limit)


@pytest.mark.usefixtures("raised_limit")
def test_what_is_nested_too_deep_is_refused_whatever_a_library_has_made_of_the_recursion_limit(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"x": ' + "[" * 1_000_000 + "]" * 1_000_000 + "}")

    with pytest.raises(RecursionError, match=r"config\.json is nested deeper than 200"):
        read_json(path)


def test_brackets_within_texts_are_no_nesting(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer_config.json"
    path.write_text('{"chat_template": "' + '{%[\\"' * 1000 + '", "x": [[1], {"y": "]"}]}', encoding="utf-8")

    assert read_json(path) == {"chat_template": '{%["' * 1000, "x": [[1], {"y": "]"}]}

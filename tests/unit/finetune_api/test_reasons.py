"""The one list of reasons: complete, explained, and the only place where their words stand."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from finetune_api.reasons import Reason
from finetune_api.report import Stage
from finetune_api.status import Failure, Phase

ROOT = Path(__file__).parents[3]
PROGRAMS = ("operator/finetune_operator", "trainer_image/finetune_trainer")
NOT_REASONS = {
    *get_args(Phase), *get_args(Stage),
    "Unknown", "Warning",  # states of conditions, types of Events
    "InternalError",  # an error code of S3
    "Evicted",  # a condition of a Workload of Kueue
}  # fmt: skip


def _literals(source: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def test_a_reason_is_a_word_in_camel_case_with_a_meaning_of_one_line() -> None:
    wrong = [
        reason
        for reason in Reason
        if not re.fullmatch(r"[A-Z][A-Za-z0-9]{1,63}", reason) or not re.fullmatch(r"\S.{10,110}\.", reason.meaning)
    ]

    assert wrong == []
    assert len(set(Reason)) == len(Reason.__members__)


@pytest.mark.parametrize("word", [*get_args(Phase), *get_args(Stage)])
def test_each_phase_and_stage_may_be_the_reason_of_a_condition(word: str) -> None:
    assert Reason(word) == word


def test_a_reason_goes_over_the_wire_as_its_word() -> None:
    failure = Failure(reason=Reason.LOSS_NOT_FINITE, message="m")

    assert failure.model_dump_json(include={"reason"}) == '{"reason":"LossNotFinite"}'


def test_no_reason_is_written_as_a_literal_elsewhere() -> None:
    reasons = {str(reason) for reason in Reason} - NOT_REASONS
    quoted = re.compile(f"[\"']({'|'.join(reasons)})[\"']")

    literals = [
        f"{source.relative_to(ROOT)}:{line}: {text}"
        for program in PROGRAMS
        for source in (ROOT / program).rglob("*.py")
        if quoted.search(source.read_text())
        for line, text in _literals(source)
        if text in reasons
    ]

    assert literals == []


@pytest.mark.thorough
def test_each_reason_is_used() -> None:
    named = {
        node.attr
        for program in PROGRAMS
        for source in (ROOT / program).rglob("*.py")
        if "Reason." in (text := source.read_text())
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Reason"
    }
    words_of_a_state = {Reason(word).name for word in (*get_args(Phase), *get_args(Stage))}

    assert set(Reason.__members__) - named - words_of_a_state == set()

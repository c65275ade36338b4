"""Each claim of the threat model names tests, and they are there."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TESTS = ROOT / "tests"
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
TABLES = re.findall(r"^\| claim \| test \|\n\|---\|---\|\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
NAMED = re.compile(r"`([\w/]+\.py)::(test_\w+)`")


@cache
def functions_of(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8")) if path.exists() else ast.Module([], [])
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("row", [row for table in TABLES for row in table.splitlines()])
def test_each_claim_names_tests_that_are_there(row: str) -> None:
    _, claim, tests, _ = (cell.strip() for cell in row.split("|"))

    named = NAMED.findall(tests)

    assert claim
    assert named
    assert ", ".join(f"`{path}::{name}`" for path, name in named) == tests
    assert [f"{path}::{name}" for path, name in named if name not in functions_of(TESTS / path)] == []


def test_every_row_with_a_test_is_in_a_table_of_claims() -> None:
    assert "".join(TABLES).count("::test_") == PAGE.count("::test_")

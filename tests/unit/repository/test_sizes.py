"""A file has at most about 400 lines, and a function fits on a screen."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[3]
SOURCES = (
    "operator",
    "trainer_image",
    "devcluster/src",
    "devcluster/tests",
    "supply_chain",
    "benchmarks",
    "demo",
    "tests",
)
LINES = 400
LINES_OF_A_FUNCTION = 60
LONG_FILES = {"tests/unit/finetune_api/profile_cases.py", "tests/unit/finetune_api/wrong_specs.py"}
"""Each is one table, of which every row is a case."""
LONG_FUNCTIONS = {
    # Its options, which typer reads off its parameters, take more lines than what it does.
    "operator/finetune_cli/commands/init.py:init",
    # A whole manifest stands in each.
    "tests/unit/chart/test_deployment.py:test_the_deployment_is_hardened_and_told_where_it_is",
    "tests/unit/finetune_operator/manifests/test_manifests.py:test_the_smallest_job_gets_a_claim_and_a_hardened_job",
    # The methods of a handler, which a server makes of a class.
    "tests/unit/finetune/api_server.py:serve",
}
FUNCTION = re.compile(r"^( *)(?:async )?def (\w+)", re.MULTILINE)


@cache
def files() -> dict[str, str]:
    """Text of each file by its path."""
    paths = (path for folder in SOURCES for path in (ROOT / folder).rglob("*.py"))
    return {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in paths}


def functions(text: str) -> Iterator[tuple[str, int]]:
    """Name and number of lines of each function: it ends before the next line that is indented no more than it is."""
    for begin in FUNCTION.finditer(text):
        after = re.compile(rf"^ {{0,{len(begin[1])}}}[^ )\n]", re.MULTILINE).search(text, begin.end())
        body = text[begin.start() : after.start() if after else None]
        yield begin[2], body.rstrip().count("\n") + 1


def test_no_file_is_long() -> None:
    assert {path for path, text in files().items() if text.count("\n") > LINES} == LONG_FILES


def test_no_function_is_longer_than_a_screen() -> None:
    every = ((f"{path}:{name}", lines) for path, text in files().items() for name, lines in functions(text))

    assert {function for function, lines in every if lines > LINES_OF_A_FUNCTION} == LONG_FUNCTIONS

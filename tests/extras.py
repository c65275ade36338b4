"""A test that needs an extra runs where `-m` names it (`make test-keras`, `test-qlora`, `test-wandb`): the environment of the others
lacks its package, whatever else is chosen there, slow tests or all."""

import re

import pytest

EXTRAS = frozenset({"keras", "qlora", "wandb"})


def left_out(markers: frozenset[str], expression: str) -> frozenset[str]:
    """The extras a test with these markers needs that pytest's `-m expression` does not name; without any the test runs."""
    return (markers & EXTRAS) - frozenset(re.findall(r"\w+", expression))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    expression = config.getoption("markexpr")
    left = [item for item in items if left_out(frozenset(mark.name for mark in item.iter_markers()), expression)]
    if left:
        config.hook.pytest_deselected(items=left)
        chosen = set(items) - set(left)
        items[:] = [item for item in items if item in chosen]

"""Commands of Helm in the docs: who has followed the page on installing can paste every other one."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[3] / "docs"
_COMMAND = re.compile(r"^ *helm (?:install|upgrade|uninstall) .*(?:\\\n.*)*", re.MULTILINE)
COMMANDS = [
    pytest.param(command, id=f"{page.stem}: {command.split(maxsplit=2)[1]}")
    for page in sorted(DOCS.rglob("*.md"))
    for command in _COMMAND.findall(page.read_text())
]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_helm_is_about_the_release_that_the_page_on_installing_makes(command: str) -> None:
    words = command.replace("\\\n", " ").split()

    assert words[2] == "finetune-operator"
    assert words[words.index("--namespace") + 1] == "finetune-system"
    assert words[1] != "upgrade" or "--reset-then-reuse-values" in words

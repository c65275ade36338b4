"""Each contract of import-linter bites: a forbidden import breaks that contract, and no other.

A contract that is worded wrongly is kept whatever is imported, and nobody sees it.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from itertools import takewhile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CONFIGS = ("pyproject.toml", "devcluster/pyproject.toml")
SOURCE_ROOTS = ("operator", "trainer_image", "devcluster/src")

FORBIDDEN = {
    # One row for each contract, under its name: a file, and an import that the contract forbids there and no other does.
    # A new contract needs a new row; a module that has moved needs its row changed.
    "The contract imports pydantic and nothing else of ours": ("operator/finetune_api/report.py", "import yaml"),
    "Operator and trainer know the contract at most, never each other": (
        "operator/finetune_operator/app.py",
        "import finetune_trainer",
    ),
    "The dev cluster is for demos and tests": ("trainer_image/finetune_trainer/base/errors.py", "import devcluster"),
    "The command line shows what the client does, and the client knows nothing of it": (
        "operator/finetune/snapshot.py",
        "from finetune_cli import output",
    ),
    "The client and the command line run without operator and trainer, which they start or ask": (
        "operator/finetune_cli/display/words.py",
        "import torch",
    ),
    "Operator and trainer know of the client nothing but the pages of its commands": (
        "operator/finetune_operator/health.py",
        "import finetune_cli",
    ),
    "The operator runs without torch, the trainer without kopf": (
        "operator/finetune_operator/reports/latest.py",
        "import torch",
    ),
    "The trainer runs without the operator's libraries": (
        "trainer_image/finetune_trainer/base/errors.py",
        "import aiohttp",
    ),
    "Each room of the operator imports only from the rooms below it": (
        "operator/finetune_operator/kube/events.py",
        "from finetune_operator.status import messages",
    ),
    "A status is computed from the top down: what it says of a job, why, and the words for it": (
        "operator/finetune_operator/status/stalls/hearing.py",
        "from finetune_operator.status.waiting import image_pulls",
    ),
    "Files of the contract, the client and the operator import each other in one direction": (
        "operator/finetune_operator/status/phase/facts.py",
        "from finetune_operator.status.phase import decide",
    ),
    "What is decided and built in the operator is decided without a client": (
        "operator/finetune_operator/status/messages.py",
        "import aiohttp",
    ),
    "Only kopf_watch imports Kopf": ("operator/finetune_operator/controller/children/make.py", "import kopf"),
    "Only the way to a collector imports OpenTelemetry": (
        "operator/finetune_operator/traces/traces.py",
        "import opentelemetry",
    ),
    "The rooms of the trainer import each other in one direction": (
        "trainer_image/finetune_trainer/checkpoints/background.py",
        "from finetune_trainer.engines import losses",
    ),
    "Engines train what a task prepared: neither knows the other": (
        "trainer_image/finetune_trainer/engines/losses.py",
        "from finetune_trainer.tasks import task",
    ),
    "Tasks prepare rows and models: they know of no progress, checkpoint or process": (
        "trainer_image/finetune_trainer/tasks/task.py",
        "from finetune_trainer.progress import history",
    ),
    "Engines see of progress the events alone": (
        "trainer_image/finetune_trainer/engines/losses.py",
        "from finetune_trainer.progress import history",
    ),
    "The events know nothing of the rest of progress": (
        "trainer_image/finetune_trainer/progress/events.py",
        "from finetune_trainer.progress import state",
    ),
    "Engines know of storage the names of files alone": (
        "trainer_image/finetune_trainer/engines/losses.py",
        "from finetune_trainer.storage import output",
    ),
    "The dev cluster knows nothing of fine-tuning": ("devcluster/src/devcluster/events.py", "import finetune_api"),
    "API server, controllers and node meet over HTTP alone": (
        "devcluster/src/devcluster/node/__init__.py",
        "from devcluster import controllers",
    ),
    "The API server by concern": (
        "devcluster/src/devcluster/apiserver/reads/selectors.py",
        "from devcluster.apiserver.writes import fieldsets",
    ),
    "Files of the dev cluster import each other in one direction": (
        "devcluster/src/devcluster/node/pod.py",
        "from devcluster.node import node",
    ),
}


def _names(config: str) -> list[str]:
    contracts = tomllib.loads((ROOT / config).read_text())["tool"]["importlinter"]["contracts"]
    return [contract["name"] for contract in contracts]


CONTRACTS = [(config, name) for config in CONFIGS for name in _names(config)]


_LINTER = """
import os, sys
from importlinter import configuration
from importlinter.application.use_cases import lint_imports
configuration.configure()
for line in sys.stdin:
    folder, config = line.rstrip().rsplit(os.sep, 1)
    os.chdir(folder)
    lint_imports(config_filename=config, no_logo=True, cache_dir=sys.argv[1])
    print("CHECKED", flush=True)
"""
"""`lint-imports` for each configuration that it is told of: a program for each would take twice as long to start as to check."""


class Copy:
    """The source roots and their contracts, in a folder of their own, and a linter of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for config in CONFIGS:
            (folder / config).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / config, folder / config)
        for source_root in SOURCE_ROOTS:
            shutil.copytree(ROOT / source_root, folder / source_root, ignore=shutil.ignore_patterns("__pycache__"))
        paths = os.pathsep.join(str(folder / source_root) for source_root in SOURCE_ROOTS)
        self._linter = subprocess.Popen(
            [sys.executable, "-c", _LINTER, folder / "cache"],
            env={**os.environ, "PYTHONPATH": paths, "COLUMNS": "1000"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def close(self) -> None:
        self._linter.communicate()

    def broken(self, config: str) -> list[str]:
        """The names of the contracts of `config` that are broken."""
        assert self._linter.stdin
        assert self._linter.stdout
        self._linter.stdin.write(f"{self.folder / config}\n")
        self._linter.stdin.flush()
        told = "".join(takewhile(lambda line: line != "CHECKED\n", self._linter.stdout))
        found = dict(re.findall(r"^(.+) (KEPT|BROKEN)", told, re.MULTILINE))
        assert list(found) == _names(config), told
        return [name for name, outcome in found.items() if outcome == "BROKEN"]


BY_NAME = {
    "operator/finetune/proposal/sample.py",
    "trainer_image/finetune_trainer/engines/keras/model.py",
    "trainer_image/finetune_trainer/engines/registry.py",
    "trainer_image/finetune_trainer/tracking/registry.py",
    "trainer_image/finetune_trainer/tasks/registry.py",
}
"""Files that import a module by its name, which no contract sees: the registries their rows, Keras a library of its own, and
a proposal pyarrow, which the client does without unless a data file is parquet."""
LATE = {
    "trainer_image/finetune_trainer/__main__.py",
    "operator/finetune_operator/traces/switch.py",
    "operator/finetune_cli/commands/ui.py",
}
"""Files that import ours within a function: settings are read, and signals caught, before torch is imported; OpenTelemetry's SDK, an
extra, only where there are traces; the page's server only by the command that serves it."""


def _files_with(node_is_meant: Callable[[ast.AST], bool], words: str) -> set[str]:
    """Files that have such a node, of those whose text has these words at all: the others need not be parsed."""
    every = [path for folder in SOURCE_ROOTS[:2] for path in (ROOT / folder).rglob("*.py")]
    texts = {path: text for path in every if re.search(words, text := path.read_text(), re.MULTILINE)}
    return {str(p.relative_to(ROOT)) for p, text in texts.items() if any(map(node_is_meant, ast.walk(ast.parse(text))))}


def _imports_by_name(node: ast.AST) -> bool:
    called = node.func if isinstance(node, ast.Call) else None
    name = called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""
    return name in ("import_module", "__import__")


def _imports_ours_below_the_top(node: ast.AST) -> bool:
    below = ast.walk(node) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.If) else ()
    return any(map(_imports_ours, below))


def _imports_ours(node: ast.AST) -> bool:
    if isinstance(node, ast.ImportFrom):
        return node.level > 0 or _is_ours(node.module or "")
    return isinstance(node, ast.Import) and any(_is_ours(alias.name) for alias in node.names)


def _is_ours(module: str) -> bool:
    return re.match(r"finetune(_|\.|$)", module) is not None


def test_only_registries_import_modules_by_name() -> None:
    assert _files_with(_imports_by_name, "import_module|__import__") == BY_NAME


def test_ours_is_imported_at_the_top_of_a_file() -> None:
    assert _files_with(_imports_ours_below_the_top, r"^[ \t].*\bimport\b") == LATE


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copy]:
    copy = Copy(tmp_path_factory.mktemp("house"))
    yield copy
    copy.close()


@pytest.fixture
def forbidden_import(copy: Copy, request: pytest.FixtureRequest) -> Iterator[None]:
    """The import of the contract's row stands in the copy for the time of one test."""
    file, line = FORBIDDEN[request.param]
    path = copy.folder / file
    before = path.read_text()
    path.write_text(f"{before}\n{line}\n")
    yield
    path.write_text(before)


def test_each_contract_has_a_row() -> None:
    assert sorted(FORBIDDEN) == sorted(name for _, name in CONTRACTS)


@pytest.mark.thorough
@pytest.mark.parametrize("config", CONFIGS)
def test_without_a_forbidden_import_every_contract_is_kept(copy: Copy, config: str) -> None:
    assert copy.broken(config) == []


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("config", "contract", "forbidden_import"),
    [(config, name, name) for config, name in CONTRACTS],
    ids=[name for _, name in CONTRACTS],
    indirect=["forbidden_import"],
)
@pytest.mark.usefixtures("forbidden_import")
def test_a_forbidden_import_breaks_its_contract_and_no_other(copy: Copy, config: str, contract: str) -> None:
    assert copy.broken(config) == [contract]

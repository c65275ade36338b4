"""What the code imports is declared, and each image's lock holds a version with hashes for what is declared."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
OURS = {
    "finetune",
    "finetune_api",
    "finetune_cli",
    "finetune_operator",
    "finetune_page",
    "finetune_trainer",
    "devcluster",
    "tests",
    "benchmarks",
    "demo",
    "supply_chain",
}
SCRIPTS = {path.stem for folder in ("benchmarks", "demo") for path in (ROOT / folder).glob("*.py")}
"""They import each other by bare names."""
NOT_INSTALLED = {"keras": ["keras"], "keras_hub": ["keras-hub"], "wandb": ["wandb"]}
"""The Keras engine and W&B have environments of their own."""
LOADED_BY_NAME = {"adlfs", "gcsfs", "pyarrow", "s3fs", "uplot-python"}
"""fsspec and pandas load each for its scheme of URI or kind of file; the page takes only files of uPlot."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("folder", "extras"),
    [
        ("operator/finetune_api", []),
        ("operator/finetune", ["cli"]),
        ("operator/finetune_cli", ["cli"]),
        ("operator/finetune_page", ["page"]),
        ("operator/finetune_operator", ["operator", "traces"]),
        ("trainer_image/finetune_trainer", ["trainer", "keras", "wandb"]),
        ("tests", ["cli", "operator", "traces", "trainer", "keras", "wandb", "dev"]),
        ("benchmarks", ["operator", "trainer", "dev"]),
        ("demo", ["operator", "trainer", "dev"]),
        ("supply_chain", ["dev"]),
    ],
)
def test_what_a_package_imports_is_declared(folder: str, extras: list[str]) -> None:
    declared = {canonicalize_name(each.name) for each in requirements(*extras)}
    distributions = installed() | NOT_INSTALLED

    undeclared = {
        name: distributions.get(name)
        for name in imported(ROOT / folder)
        if declared.isdisjoint(map(canonicalize_name, distributions.get(name, [])))
    }

    assert undeclared == {}


@pytest.mark.thorough
def test_what_the_dev_cluster_imports_is_declared() -> None:
    project = tomllib.loads((ROOT / "devcluster" / "pyproject.toml").read_text())["project"]
    every = [*project["dependencies"], *project["optional-dependencies"]["testing"]]
    declared = {canonicalize_name(Requirement(each).name) for each in every}
    distributions = installed()

    undeclared = {
        name: distributions.get(name)
        for name in imported(ROOT / "devcluster" / "src")
        if declared.isdisjoint(map(canonicalize_name, distributions.get(name, [])))
    }

    assert undeclared == {}


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("extra", "folders"),
    [
        ("cli", ["operator/finetune", "operator/finetune_cli"]),
        ("page", ["operator/finetune", "operator/finetune_page"]),
        ("operator", ["operator/finetune_operator"]),
        ("traces", ["operator/finetune_operator"]),
        ("trainer", ["trainer_image/finetune_trainer"]),
        ("keras", ["trainer_image/finetune_trainer"]),
        ("wandb", ["trainer_image/finetune_trainer"]),
    ],
)
def test_what_an_image_is_given_is_used(extra: str, folders: list[str]) -> None:
    distributions = installed() | NOT_INSTALLED
    used = {
        canonicalize_name(distribution)
        for folder in folders
        for name in imported(ROOT / folder)
        for distribution in distributions.get(name, [])
    }

    given = {canonicalize_name(Requirement(each).name) for each in EXTRAS[extra]} - {PROJECT["name"]}
    unused = given - used - LOADED_BY_NAME

    assert unused == set()


@pytest.mark.parametrize(
    ("locks", "extra"),
    [
        (["operator"], "operator"),
        (["operator", "traces"], "traces"),
        (["operator", "page"], "page"),
        (["torch", "trainer"], "trainer"),
        (["torch", "trainer", "keras"], "keras"),
        (["torch", "trainer", "qlora"], "qlora"),
        (["torch", "trainer", "wandb"], "wandb"),
        (["dev"], "dev"),
    ],
)
def test_a_lock_holds_a_version_within_each_declared_range(locks: list[str], extra: str) -> None:
    pinned = {name: version for lock in locks for name, version in pins(lock).items()}

    outside = {
        str(each): pinned.get(canonicalize_name(each.name))
        for each in requirements(extra)
        if not each.specifier.contains(pinned.get(canonicalize_name(each.name), "0"))
    }

    assert outside == {}


@pytest.mark.parametrize("lock", ["operator", "page", "torch", "traces", "trainer"])
def test_an_image_has_the_versions_that_the_tests_run_with(lock: str) -> None:
    tested = pins("dev")

    assert {name: version for name, version in pins(lock).items() if tested[name] != version} == {}


@pytest.mark.parametrize("lock", ["build", "keras", "operator", "page", "qlora", "torch", "traces", "trainer", "wandb"])
def test_each_version_of_an_image_has_hashes(lock: str) -> None:
    entries = re.split(r"\n(?=[a-z])", (ROOT / "locks" / f"{lock}.lock").read_text())[1:]

    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []


def test_no_lock_names_a_place_to_download_from() -> None:
    assert [path.name for path in (ROOT / "locks").iterdir() if "://" in path.read_text()] == []


def test_transformers_is_held_to_one_minor_release() -> None:
    (transformers,) = (each for each in requirements("trainer") if each.name == "transformers")
    major, minor, *_ = pins("trainer")["transformers"].split(".")

    assert not transformers.specifier.contains(f"{major}.{int(minor) + 1}.0")


@pytest.mark.parametrize("dockerfile", ["operator/Dockerfile", "trainer_image/Dockerfile"])
def test_an_image_is_built_by_a_pip_of_its_own_whatever_its_base_has(dockerfile: str) -> None:
    """pip 23.0 cannot build seqeval, which comes as source alone, for an environment without pip."""
    text = (ROOT / dockerfile).read_text()
    built_by = pins("build")

    installs = re.findall(r"\bpip .*\binstall .*", text.replace("\\\n", " "))

    assert installs[0] == "pip install --no-cache-dir --require-hashes -r locks/build.lock"
    assert "ENV PIP_BUILD_CONSTRAINT=/src/locks/build.lock" in text
    assert "--no-build-isolation" not in text  # which pip refuses beside it
    assert {"hatchling", "pip", "setuptools", "setuptools-scm"} <= built_by.keys()
    # The first that knows constraints for builds.
    assert Version(built_by["pip"]) >= Version("25.3")


def requirements(*extras: str) -> list[Requirement]:
    """What the distribution and these extras declare for this machine."""
    every = map(Requirement, [*PROJECT["dependencies"], *(each for extra in extras for each in EXTRAS[extra])])
    return [each for each in every if each.name != PROJECT["name"] and (not each.marker or each.marker.evaluate())]


def pins(lock: str) -> dict[str, str]:
    """Versions by name, for the Python that runs."""
    lines = re.findall(r"^([a-z0-9][^\\\n]*)", (ROOT / "locks" / f"{lock}.lock").read_text(), re.MULTILINE)
    every = (Requirement(line) for line in lines)
    return {
        canonicalize_name(each.name): str(each.specifier).removeprefix("==")
        for each in every
        if not each.marker or each.marker.evaluate()
    }


@cache
def installed() -> dict[str, list[str]]:
    """Names of the distributions that have a package of a name, by that name. Reading them all takes a second."""
    return dict(packages_distributions())


@cache
def imported(folder: Path) -> set[str]:
    """Names of the packages of others that the folder's files import."""
    names = {name.partition(".")[0] for path in folder.rglob("*.py") for name in _imports(ast.parse(path.read_text()))}
    return names - set(sys.stdlib_module_names) - OURS - SCRIPTS


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module

"""`operator/` must never shadow the standard library's module of that name."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SOURCE_ROOTS = ("operator", "trainer_image", "devcluster/src")


@pytest.mark.parametrize("source_root", SOURCE_ROOTS)
def test_a_source_root_holds_packages_and_no_loose_module(source_root: str) -> None:
    assert [path.name for path in (ROOT / source_root).glob("*.py")] == []


@pytest.mark.parametrize("folder", ["", *SOURCE_ROOTS])
def test_operator_is_the_standard_library_s_from_every_folder(folder: str) -> None:
    program = "import operator, sys; assert operator.__file__.startswith(sys.base_prefix), operator.__file__"

    subprocess.run([sys.executable, "-c", program], cwd=ROOT / folder, check=True)

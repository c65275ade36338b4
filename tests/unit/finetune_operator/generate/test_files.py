"""Every file that is generated, and the one version that others are made of."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from finetune_operator.generate.__main__ import main
from finetune_operator.generate.compatibility import RELEASED
from finetune_operator.generate.files import CHART, generated_files, project_version, with_version

ROOT = Path(__file__).parents[4]


@pytest.mark.thorough
def test_the_files_in_the_repository_are_those_that_are_generated() -> None:
    files = generated_files(ROOT)

    out_of_date = [name for name, text in files.items() if (ROOT / name).read_text(encoding="utf-8") != text]

    assert out_of_date == []


def test_the_chart_takes_its_version_from_the_project(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\nversion = "2.3.4"\n')
    chart = "name: x\nversion: 0.0.1\nappVersion: '0'\n# version: stays\nkubeVersion: 1\n"

    changed = with_version(chart, project_version(tmp_path))

    assert changed == 'name: x\nversion: 2.3.4\nappVersion: "2.3.4"\n# version: stays\nkubeVersion: 1\n'


@pytest.fixture
def generate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """`python -m finetune_operator.generate` in this process, in a folder that has what it reads."""
    for name in ("pyproject.toml", f"{CHART}/Chart.yaml", f"{CHART}/values.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / RELEASED, tmp_path / RELEASED)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["finetune_operator.generate", *arguments])
        return main()

    return run


@pytest.mark.slow
def test_a_file_that_is_out_of_date_is_shown_and_left_alone_by_a_check_and_written_without(
    tmp_path: Path, generate: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert generate() == 0
    page = tmp_path / "docs/reference/exit-codes.md"
    page.write_text(page.read_text() + "by hand\n")
    capsys.readouterr()
    checked = generate("--check")
    shown = capsys.readouterr().out
    left = page.read_text()
    assert generate() == 0
    again = generate("--check")

    assert checked == 1
    assert "-by hand" in shown.splitlines()
    assert shown.endswith("docs/reference/exit-codes.md is out of date: run make generate\n")
    assert left.endswith("by hand\n")
    assert (again, capsys.readouterr().out) == (0, "")

"""Every file that is generated, and the one version that others are made of."""

import shutil
import subprocess
import sys
from pathlib import Path

from finetune_operator.generate.compatibility import RELEASED
from finetune_operator.generate.files import CHART, generated_files, project_version, with_version

ROOT = Path(__file__).parents[4]


def test_the_files_in_the_repository_are_those_that_are_generated() -> None:
    files = generated_files(ROOT)

    out_of_date = [name for name, text in files.items() if (ROOT / name).read_text(encoding="utf-8") != text]

    assert out_of_date == []


def test_the_chart_takes_its_version_from_the_project(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\nversion = "2.3.4"\n')
    chart = "name: x\nversion: 0.0.1\nappVersion: '0'\n# version: stays\nkubeVersion: 1\n"

    changed = with_version(chart, project_version(tmp_path))

    assert changed == 'name: x\nversion: 2.3.4\nappVersion: "2.3.4"\n# version: stays\nkubeVersion: 1\n'


def test_a_file_that_is_out_of_date_is_shown_and_left_alone_by_a_check_and_written_without(tmp_path: Path) -> None:
    for name in ("pyproject.toml", f"{CHART}/Chart.yaml", f"{CHART}/values.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / RELEASED, tmp_path / RELEASED)
    generate = [sys.executable, "-m", "finetune_operator.generate"]

    subprocess.run(generate, cwd=tmp_path, check=True)
    page = tmp_path / "docs/reference/exit-codes.md"
    page.write_text(page.read_text() + "by hand\n")
    checked = subprocess.run([*generate, "--check"], cwd=tmp_path, capture_output=True, text=True, check=False)
    left = page.read_text()
    subprocess.run(generate, cwd=tmp_path, check=True)
    again = subprocess.run([*generate, "--check"], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert checked.returncode == 1
    assert "-by hand" in checked.stdout.splitlines()
    assert checked.stdout.endswith("docs/reference/exit-codes.md is out of date: run make generate\n")
    assert left.endswith("by hand\n")
    assert (again.returncode, again.stdout) == (0, "")

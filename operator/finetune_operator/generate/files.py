"""The path and text of every generated file."""

import json
import re
import tomllib
from pathlib import Path
from typing import Final

import yaml

from finetune_api.base import JsonObject
from finetune_api.crd import custom_resource_definition, profile_definition
from finetune_api.policy import admission_policies
from finetune_operator.generate.dashboard import dashboard
from finetune_operator.generate.pages import reference_pages

CHART: Final = "charts/finetune-operator"
_CRD_FOLDERS: Final = ("crds", f"{CHART}/files")
_HEADER: Final = "# Generated from operator/finetune_api by `make generate`. Do not edit.\n"


def generated_files(root: Path) -> dict[str, str]:
    """Return the text of each generated file by its path in the repository at `root`."""
    manifests = {
        "finetunejobs.yaml": _yaml([custom_resource_definition()]),
        "finetuneprofiles.yaml": _yaml([profile_definition()]),
        "finetunejobs-policy.yaml": _yaml(admission_policies()),
    }
    pages = reference_pages((root / CHART / "values.yaml").read_text(encoding="utf-8"))
    chart = (root / CHART / "Chart.yaml").read_text(encoding="utf-8")
    return {
        **{f"{folder}/{name}": _HEADER + text for folder in _CRD_FOLDERS for name, text in manifests.items()},
        f"{CHART}/Chart.yaml": with_version(chart, project_version(root)),
        f"{CHART}/files/dashboard.json": json.dumps(dashboard(), indent=1) + "\n",
        **{f"docs/reference/{name}": text for name, text in pages.items()},
    }


def project_version(root: Path) -> str:
    """Return the version in `pyproject.toml`, from which every other place takes it."""
    version: str = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    return version


def with_version(chart: str, version: str) -> str:
    """Return the text of a Chart.yaml with the version of the chart and of the images that it installs."""
    chart = re.sub(r"^version: .*$", f"version: {version}", chart, flags=re.MULTILINE)
    return re.sub(r"^appVersion: .*$", f'appVersion: "{version}"', chart, flags=re.MULTILINE)


def _yaml(objects: list[JsonObject]) -> str:
    return "---\n".join(yaml.safe_dump(each, sort_keys=False, width=120, allow_unicode=True) for each in objects)

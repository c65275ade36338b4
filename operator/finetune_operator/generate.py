"""`python -m finetune_operator.generate [DIR]`: writes the CRD, its policy and the chart's copies below DIR (this folder by default)."""

import argparse
from pathlib import Path
from typing import Final

import yaml

from finetune_api.base import JsonObject
from finetune_api.crd import custom_resource_definition
from finetune_api.policy import admission_policy

FOLDERS: Final = ("crds", "charts/finetune-operator/files")
_HEADER: Final = "# Generated from operator/finetune_api by `make generate`. Do not edit.\n"


def main() -> None:
    """Writes every generated file below the folder named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m finetune_operator.generate", description=__doc__)
    parser.add_argument("directory", nargs="?", type=Path, default=Path())
    directory: Path = parser.parse_args().directory
    files = {"finetunejobs.yaml": [custom_resource_definition()], "finetunejobs-policy.yaml": admission_policy()}
    for folder in FOLDERS:
        (directory / folder).mkdir(parents=True, exist_ok=True)
        for name, objects in files.items():
            (directory / folder / name).write_text(_HEADER + _yaml(objects))


def _yaml(objects: list[JsonObject]) -> str:
    return "---\n".join(yaml.safe_dump(each, sort_keys=False, width=120, allow_unicode=True) for each in objects)


if __name__ == "__main__":
    main()

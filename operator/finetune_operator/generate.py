"""`python -m finetune_operator.generate [DIR]`: writes the CRD and the chart's copy of it below DIR (this folder by default)."""

import argparse
from pathlib import Path
from typing import Final

import yaml

from finetune_api.crd import custom_resource_definition

TARGETS: Final = ("crds/finetunejobs.yaml", "charts/finetune-operator/files/finetunejobs.yaml")
_HEADER: Final = "# Generated from operator/finetune_api by `make generate`. Do not edit.\n"


def main() -> None:
    """Writes every generated file below the folder named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m finetune_operator.generate", description=__doc__)
    parser.add_argument("directory", nargs="?", type=Path, default=Path())
    directory: Path = parser.parse_args().directory
    text = _HEADER + yaml.safe_dump(custom_resource_definition(), sort_keys=False, width=120, allow_unicode=True)
    for target in TARGETS:
        path = directory / target
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main()

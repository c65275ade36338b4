"""`python -m finetune_operator.generate`: write every generated file below this folder, or `--check` that they are up to date.

The check covers the API's policy, too: the CRDs break nothing of the last release's.
"""

import argparse
import difflib
import sys
from pathlib import Path

from finetune_api.crd import custom_resource_definition, profile_definition
from finetune_operator.generate.compatibility import unaccepted_breaks
from finetune_operator.generate.files import generated_files


def main() -> int:
    """Write the generated files, or with `--check` compare them. Return 1 if one is out of date, or a CRD breaks the API."""
    parser = argparse.ArgumentParser(prog="python -m finetune_operator.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; show what is out of date")
    check: bool = parser.parse_args().check
    root = Path()
    differences = {}
    for name, text in generated_files(root).items():
        path = root / name
        present = path.read_text(encoding="utf-8") if path.exists() else ""
        if check:
            differences[name] = "\n".join(
                difflib.unified_diff(present.splitlines(), text.splitlines(), name, name, lineterm="")
            )
        elif present != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    for name, difference in differences.items():
        if difference:
            sys.stdout.write(f"{difference}\n{name} is out of date: run make generate\n")
    broken = unaccepted_breaks(root, custom_resource_definition(), profile_definition()) if check else []
    for line in broken:
        sys.stdout.write(f"{line}\n")
    if broken:
        sys.stdout.write("a CRD breaks what the last release has: see docs/reference/api-policy.md\n")
    return 1 if any(differences.values()) or broken else 0


if __name__ == "__main__":
    sys.exit(main())

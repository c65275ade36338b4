"""Completion of `kubectl finetune`: kubectl asks a program of the name `kubectl_complete-finetune` with the words so far.

Its answer is Cobra's: a word a line, then what the shell shall do besides.
https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/
"""

import os
import shlex
import sys
from typing import Final

from finetune_cli.app import app

_DEFAULT: Final = ":0"
"""Where there is no word, the shell offers files."""


def main() -> None:
    """Write what the last word may become."""
    words = sys.argv[1:] or [""]
    os.environ |= {
        "_FINETUNE_COMPLETE": "complete_bash",
        "COMP_WORDS": shlex.join(["finetune", *words]),
        "COMP_CWORD": str(len(words)),
    }
    try:
        app(prog_name="finetune")
    finally:
        sys.stdout.write(f"{_DEFAULT}\n")

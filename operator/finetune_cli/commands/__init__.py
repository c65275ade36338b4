"""The commands: one file each, and one row here."""

from collections.abc import Callable
from typing import Any, Final

from finetune_cli.commands.cancel import cancel
from finetune_cli.commands.get import get
from finetune_cli.commands.rerun import rerun
from finetune_cli.commands.submit import submit
from finetune_cli.commands.suspend import resume, suspend

COMMANDS: Final[dict[str, Callable[..., Any]]] = {
    "submit": submit,
    "get": get,
    "suspend": suspend,
    "resume": resume,
    "rerun": rerun,
    "cancel": cancel,
}
"""In the order in which --help lists them."""

"""The commands: one file each, and one row here."""

from collections.abc import Callable
from typing import Any, Final

from finetune_cli.commands.cancel import cancel
from finetune_cli.commands.compare import compare
from finetune_cli.commands.download import download
from finetune_cli.commands.estimate import estimate
from finetune_cli.commands.explain import explain
from finetune_cli.commands.get import get
from finetune_cli.commands.init import init
from finetune_cli.commands.logs import logs
from finetune_cli.commands.rerun import rerun
from finetune_cli.commands.run import run
from finetune_cli.commands.submit import submit
from finetune_cli.commands.suspend import resume, suspend
from finetune_cli.commands.track import track
from finetune_cli.commands.ui import ui
from finetune_cli.commands.validate import validate
from finetune_cli.commands.watch import watch

COMMANDS: Final[dict[str, Callable[..., Any]]] = {
    "init": init,
    "validate": validate,
    "estimate": estimate,
    "run": run,
    "submit": submit,
    "get": get,
    "watch": watch,
    "logs": logs,
    "explain": explain,
    "compare": compare,
    "suspend": suspend,
    "resume": resume,
    "rerun": rerun,
    "cancel": cancel,
    "download": download,
    "track": track,
    "ui": ui,
}
"""In the order in which --help lists them."""

"""What Python begins with in a pod whose image is the stand-in: the trainer is our own, but for its work with torch, which is `commands`.

Settings, signals, watchdog, reports, logs, exit codes and final report are real; a pod takes a second of a core, not eight.
"""

import sys
from collections.abc import Sequence
from functools import cache
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

_COMMANDS = Path(__file__).with_name("commands.py")


class _Finder:
    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return spec_from_file_location(name, _COMMANDS) if name == "finetune_trainer.run.commands" else None


def _hide_transformers() -> None:
    """The trainer asks it one thing wherever it has imported `commands`."""
    questions: Any = ModuleType("transformers.utils.import_utils")
    questions.is_scipy_available = cache(lambda: False)
    for name in ("transformers", "transformers.utils"):
        sys.modules[name] = ModuleType(name)
    sys.modules[questions.__name__] = questions


sys.meta_path.insert(0, _Finder())
_hide_transformers()

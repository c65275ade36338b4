"""Reads what was brought here: the files that we read ourselves, and by `datasets` what else there is."""

import datasets

from finetune_api.sources import Columns
from finetune_trainer.data.readers.files import Found
from finetune_trainer.data.readers.hub_rows import HubRows
from finetune_trainer.data.readers.local_rows import LocalRows
from finetune_trainer.data.readers.row_cache import kept_rows
from finetune_trainer.data.select_rows import Loaded

_TEXTS = frozenset({"prompt", "completion", "instruction", "input", "output", "system", "system_prompt"})
"""Columns that hold text where they are read without being named."""


def read_rows(source: HubRows | LocalRows, columns: Columns) -> Loaded:
    """The rows of all splits.

    Args:
        columns: What the settings ask for: it decides which files are read, and what in them is text.

    Raises:
        TrainerError: DATA when they cannot be read; besides what the libraries raise.
    """
    used, texts = _used_columns(columns), _texts(columns)
    found = source.look(used)
    if isinstance(found, Found):
        return Loaded(*kept_rows(found, texts), source.commit)
    return Loaded(datasets.DatasetDict({"train": found}) if isinstance(found, datasets.Dataset) else found)


def _used_columns(columns: Columns) -> frozenset[str]:
    """The columns that a task may read."""
    asked = {name.split(".")[0] for name in columns.model_dump().values() if name}
    return frozenset(asked | {"messages", "conversations", "prompt", "completion", "instruction", "output"})


def _texts(columns: Columns) -> frozenset[str]:
    """Columns that hold text, also where all of it looks like numbers."""
    texts = {columns.text, columns.text_pair, columns.target, columns.messages, columns.prompt, columns.completion}
    return (frozenset(name for name in texts if name) | _TEXTS) - {columns.label, columns.tags}

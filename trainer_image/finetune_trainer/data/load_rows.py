"""Reads the rows to train and evaluate on: from the Hub, from files, or from what `save_to_disk` wrote."""

import datasets

from finetune_api.sources import Columns
from finetune_api.sources import Dataset as DatasetSettings
from finetune_trainer.data.readers.errors import data_failures
from finetune_trainer.data.readers.files import Found
from finetune_trainer.data.readers.hub_rows import HubRows, bring_hub_rows
from finetune_trainer.data.readers.local_rows import LocalRows, find_local_rows
from finetune_trainer.data.readers.memory import memory_for
from finetune_trainer.data.readers.row_cache import kept_rows
from finetune_trainer.data.rows import Rows
from finetune_trainer.data.select_rows import Loaded, select_rows
from finetune_trainer.storage.uris import Volumes, is_hub_id

_TEXTS = frozenset({"prompt", "completion", "instruction", "input", "output", "system", "system_prompt"})
"""Columns that hold text where they are read without being named."""


def load_rows(settings: DatasetSettings, volumes: Volumes) -> tuple[Rows, Rows | None]:
    """The training rows, and the evaluation rows where asked for.

    Raises:
        TrainerError: DATA when the source, the split or rows are not there or cannot be read.
    """
    with data_failures(settings):
        source = bring_hub_rows(settings) if is_hub_id(settings.source) else find_local_rows(settings, volumes)
        with memory_for(settings.source):
            loaded = _read(source, settings.columns)
    return select_rows(settings.source, loaded, settings.columns, settings.train, settings.evaluation)


def _read(source: HubRows | LocalRows, columns: Columns) -> Loaded:
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

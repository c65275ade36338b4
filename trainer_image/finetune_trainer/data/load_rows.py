"""Reads the rows to train and evaluate on: from the Hub, from files, or from what `save_to_disk` wrote."""

import datasets

from finetune_api.sources import Columns
from finetune_api.sources import Dataset as DatasetSettings
from finetune_trainer.data.readers.bounds import memory_for
from finetune_trainer.data.readers.errors import data_failures
from finetune_trainer.data.readers.files import Found
from finetune_trainer.data.readers.hub_rows import hub_files
from finetune_trainer.data.readers.local_rows import Splits, local_files
from finetune_trainer.data.readers.row_cache import kept_rows
from finetune_trainer.data.rows import Rows
from finetune_trainer.data.select_rows import Loaded, select_rows
from finetune_trainer.storage.credentials import hub_token
from finetune_trainer.storage.uris import Volumes, hub_id, is_hub_id

_TEXTS = frozenset({"prompt", "completion", "instruction", "input", "output", "system", "system_prompt"})
"""Columns that hold text where they are read without being named."""


def load_rows(settings: DatasetSettings, volumes: Volumes) -> tuple[Rows, Rows | None]:
    """The training rows, and the evaluation rows where asked for.

    Raises:
        TrainerError: DATA when the source, the split or rows are not there or cannot be read.
    """
    with data_failures(settings):
        loaded = _load(settings, volumes)
    return select_rows(settings.source, loaded, settings.columns, settings.train, settings.evaluation)


def _load(settings: DatasetSettings, volumes: Volumes) -> Loaded:
    texts, used = _texts(settings.columns), _used_columns(settings.columns)
    commit: str | None = None
    found: Found | Splits
    if not is_hub_id(settings.source):
        found = local_files(settings, volumes, used)
    elif files := hub_files(settings, used):
        found, commit = files.found, files.commit
    else:
        with memory_for(settings.source):
            found = datasets.load_dataset(
                hub_id(settings.source), name=settings.name, revision=settings.revision, token=hub_token("dataset")
            )
    if isinstance(found, Found):
        return Loaded(*kept_rows(found, texts), commit)
    return Loaded(datasets.DatasetDict({"train": found}) if isinstance(found, datasets.Dataset) else found)


def _used_columns(columns: Columns) -> frozenset[str]:
    """The columns that a task may read."""
    asked = {name.split(".")[0] for name in columns.model_dump().values() if name}
    return frozenset(asked | {"messages", "conversations", "prompt", "completion", "instruction", "output"})


def _texts(columns: Columns) -> frozenset[str]:
    """Columns that hold text, also where all of it looks like numbers."""
    texts = {columns.text, columns.text_pair, columns.target, columns.messages, columns.prompt, columns.completion}
    return (frozenset(name for name in texts if name) | _TEXTS) - {columns.label, columns.tags}

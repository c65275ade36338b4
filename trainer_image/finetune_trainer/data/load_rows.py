"""Reads the rows to train and evaluate on: from the Hub, from files, or from what `save_to_disk` wrote."""

from finetune_api.sources import Dataset as DatasetSettings
from finetune_trainer.data.read_rows import read_rows
from finetune_trainer.data.readers.errors import data_failures
from finetune_trainer.data.readers.hub_rows import bring_hub_rows
from finetune_trainer.data.readers.local_rows import find_local_rows
from finetune_trainer.data.readers.memory import memory_for
from finetune_trainer.data.rows import Rows
from finetune_trainer.data.select_rows import select_rows
from finetune_trainer.storage.uris import Volumes, is_hub_id


def load_rows(settings: DatasetSettings, volumes: Volumes) -> tuple[Rows, Rows | None]:
    """The training rows, and the evaluation rows where asked for.

    Raises:
        TrainerError: DATA when the source, the split or rows are not there or cannot be read.
    """
    with data_failures(settings):
        source = bring_hub_rows(settings) if is_hub_id(settings.source) else find_local_rows(settings, volumes)
        with memory_for(settings.source):
            loaded = read_rows(source, settings.columns)
    return select_rows(settings.source, loaded, settings.columns, settings.train, settings.evaluation)

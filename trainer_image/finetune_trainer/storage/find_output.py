"""Where an output is, by its URI: in a folder, in a bucket, or in a repository of the Hub."""

import hashlib
import json

from finetune_api.base import JsonObject
from finetune_trainer.storage.bucket import Bucket
from finetune_trainer.storage.claim import check_is_own
from finetune_trainer.storage.hub import HubRepository
from finetune_trainer.storage.local_output import LocalOutput
from finetune_trainer.storage.output import Output
from finetune_trainer.storage.remote_output import RemoteOutput
from finetune_trainer.storage.uris import Volumes, cache_folder, is_path, locate


def find_output(uri: str, mine: JsonObject, volumes: Volumes) -> Output:
    """Return the output at `uri` of the run whose identity is `mine`, untouched."""
    uri = uri.rstrip("/")
    if is_path(uri):
        return LocalOutput(uri, locate(uri, volumes))
    place = HubRepository(uri) if uri.startswith("hf://") else Bucket(uri, "output")
    name = hashlib.sha256(json.dumps([uri, mine]).encode()).hexdigest()[:32]
    return RemoteOutput(place, cache_folder() / "outputs" / name)


def open_output(uri: str, mine: JsonObject, volumes: Volumes) -> Output:
    """Return the output at `uri`, once it is checked that it is this run's, or may be.

    Raises:
        TrainerError: As `check_is_own`.
    """
    output = find_output(uri, mine, volumes)
    check_is_own(output, mine)
    return output

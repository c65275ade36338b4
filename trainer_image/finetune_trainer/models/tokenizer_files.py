"""A tokenizer's files: which there are, and that they name no other files.

transformers passes what they hold on to the tokenizer, as it is: a vocabulary would be read from wherever a field leads to, be it a
Secret of the job, and be exported with the model.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError

from finetune_api.reasons import Reason
from finetune_trainer.base.errors import TrainerError, model_error
from finetune_trainer.base.text import listed
from finetune_trainer.models.model_files import WORDS, OtherEncodingError, other_encoding, read_json

_CONFIG = "tokenizer_config.json"
_SETTINGS = (_CONFIG, "special_tokens_map.json")
_NEVER_OPENED = ("chat_template", "name_or_path", "_name_or_path", "special_tokens_map_file")
"""Fields in which `save_pretrained` leaves what it likes, such as where the files were before."""
_OVERRIDDEN = "tokenizer_file"
"""Another such field. Of the configuration it is opened only where there is no tokenizer.json."""
_FILES = "tokenizer.json, or the vocabulary of its kind: vocab.txt; vocab.json and merges.txt; a sentencepiece .model"
_PARTS = ("tokenizer*", "vocab*", "merges.txt", "*.model", "*.spm", "tekken.json", "added_tokens.json")


def check_names_no_files(place: str, arguments: Mapping[str, Any], source: str) -> None:
    """Check that no field of a tokenizer's settings leads to a file of this machine that is not the tokenizer's own.

    Args:
        place: What `from_pretrained` takes, with these arguments: a folder, or an id on the Hub.
        source: As the settings name it, for messages.

    Raises:
        TrainerError: MODEL, naming the field.
    """
    for name in _SETTINGS:
        path = _find(place, name, arguments)
        if path is None:
            continue
        own = path.parent.resolve()
        try:
            content = read_json(path)
        except OtherEncodingError as error:
            raise other_encoding(source, str(error)) from error
        for field, value in _texts(content):
            if _leads_elsewhere(value, own) and not (
                (name, field) == (_CONFIG, _OVERRIDDEN) and _find(place, WORDS, arguments)
            ):
                raise model_error(
                    Reason.MODEL_UNREADABLE,
                    f"{source}: in its {name}, {field} names a file that is not its own: {value:.100}",
                    "take the field out, and put the file beside config.json under its usual name, such as vocab.txt",
                )


def no_tokenizer(place: str, source: str, why: str) -> TrainerError:
    """Return the error of files that make no tokenizer, with those that there are. Arguments as of `check_names_no_files`."""
    folder = Path(place)
    there = sorted({path.name for part in _PARTS for path in folder.glob(part)}) if folder.is_dir() else []
    found = f"of its files there are {listed(there)}" if there else "tokenizer.json and the like are not there"
    return model_error(
        Reason.TOKENIZER_MISSING,
        f"{source} has no tokenizer that can be used: {found} ({why:.200})",
        f"put it beside config.json, by tokenizer.save_pretrained: {_FILES}",
    )


def _find(place: str, name: str, arguments: Mapping[str, Any]) -> Path | None:
    folder = Path(place)
    if folder.is_dir():
        return folder / name if (folder / name).is_file() else None
    try:
        return Path(hf_hub_download(place, name, revision=arguments["revision"], token=arguments["token"]))
    except EntryNotFoundError:  # nor is it in the cache, where the Hub is out of reach
        return None


def _texts(content: Any, field: str = "") -> Iterator[tuple[str, str]]:
    """Yield each text with the name of the field that it is in."""
    if isinstance(content, str):
        yield field, content
    elif isinstance(content, list):
        for each in content:
            yield from _texts(each, field)
    elif isinstance(content, dict):
        for name, value in content.items():
            if name not in _NEVER_OPENED:
                yield from _texts(value, f"{field}.{name}" if field else name)


def _leads_elsewhere(value: str, own: Path) -> bool:
    try:
        path = Path(value)
        return path.exists() and not path.is_dir() and not path.resolve().is_relative_to(own)
    except (OSError, ValueError):  # such as of a text that is too long for a name, or has a zero in it
        return False

"""A model's files are read as what they are, and never make us load code: neither its author's nor kernels of the Hub.

`trust_remote_code` is False wherever we load, so that `auto_map` and `custom_generate` lead nowhere. Kernels have no such
switch: transformers downloads and imports them by what a configuration names. The program hides the package `kernels` from
transformers altogether; what is here says so by field, before anything is loaded. Their JSON is bounded in depth: anybody may have written it.
"""

import json
import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel
from transformers.generation.utils import GENERATION_MODES_MAPPING

from finetune_api.reasons import Reason
from finetune_trainer.base.errors import TrainerError, model_error

_MOST_DEPTH: Final = 200
"""No model nests its settings deeper than ten."""
_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
_POINTER = b"version https://git-lfs.github.com/spec/"
"""Git's large file storage has it where `git lfs pull` would put the content."""
_TEXT_FILES = re.compile(
    r"(generation_|adapter_)?config\.json|.*\.index\.json|(tokenizer|chat_template|special_tokens|added_tokens).*\.(json|jinja)"
)
"""Those that are read as UTF-8. A byte order mark is no JSON, and becomes a part of a template, or of a vocabulary's first word."""
WORDS: Final = "tokenizer.json"
_VOCABULARY = re.compile(r"vocab\.(json|txt)|merges\.txt")
"""So are these, where there is no tokenizer.json, which holds what is in them."""
_ATTENTION = ("eager", "sdpa", "flex_attention", "paged|eager")
"""What is part of transformers and torch."""
_PACKAGES = {
    "flash_attention_2": "flash_attn",
    "flash_attention_3": "flash_attn_interface",
    "flash_attention_4": "flash_attn.cute",
}
"""transformers takes a kernel of the Hub where the package is not installed."""
_EXPERTS = ("eager", "batched_mm", "grouped_mm")
_LOADERS = (
    "use_kernels",
    "kernel_config",
    "allow_all_kernels",
    "custom_generate",
    "megatron_config",
    "registered_name",
)
"""Fields that no `save_pretrained` writes, and that ask for code: the last two make peft and Keras import what they name."""


class OtherEncodingError(ValueError):
    """A file that transformers cannot read as text, though people and other programs can."""


def _mark(begin: bytes) -> str | None:
    """How a text is written that is not plain UTF-8, as its first bytes tell."""
    if begin.startswith(BOM_UTF8):
        return "begins with a byte order mark"
    utf16 = begin.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) or begin[:2] in (b"{\0", b"\0{", b"[\0", b"\0[")
    return "is written in UTF-16, and not in UTF-8" if utf16 else None


def read_json(path: Path) -> Any:
    """Return what a file holds.

    Raises:
        RecursionError: It is nested too deep. The parser itself only sees that while nobody has raised Python's recursion limit, as some
            libraries do; after that it ends the process.
        OtherEncodingError: It is not UTF-8, or begins with a byte order mark.
        ValueError: It is not JSON.
        OSError: It cannot be read.
    """
    held = path.read_bytes()
    if told := _mark(held):
        raise OtherEncodingError(f"{path.name} {told}")
    try:
        text = held.decode()
    except UnicodeDecodeError as error:
        raise OtherEncodingError(f"{path.name} is not UTF-8") from error
    depth = 0
    for token in _TOKENS.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        if depth > _MOST_DEPTH:
            raise RecursionError(f"{path.name} is nested deeper than {_MOST_DEPTH}")
    return json.loads(text)


def read_settings(file: Path, source: str) -> dict[str, Any]:
    """Return what a model's or adapter's JSON file holds, once it is checked.

    Raises:
        TrainerError: MODEL when a file beside it is not there in truth, or is not UTF-8, it is no JSON object, or a field leads to code that is
            not installed here.
    """
    own_words = (file.parent / WORDS).is_file()
    for path in sorted(file.parent.iterdir()):
        if not path.is_file():  # such as a link to what is not there: whoever needs it says so
            continue
        if path.stat().st_size < 1024 and path.read_bytes().startswith(_POINTER):
            raise model_error(
                Reason.FILE_IS_LFS_POINTER,
                f"{source}: {path.name} is a git LFS pointer, and not the file itself",
                "fetch the files: git lfs pull; or copy the model by hf download",
            )
        read = _TEXT_FILES.fullmatch(path.name) or (_VOCABULARY.fullmatch(path.name) and not own_words)
        if read and (told := _mark(_begin_of(path))):
            raise other_encoding(source, f"{path.name} {told}")
    try:
        settings = read_json(file)
        if not isinstance(settings, dict):
            raise ValueError(f"it holds a {type(settings).__name__}")
    except OtherEncodingError as error:
        raise other_encoding(source, str(error)) from error
    except ValueError as error:
        raise model_error(
            Reason.MODEL_UNREADABLE,
            f"{source}: {file.name} is no JSON object: {error!s:.200}",
            "copy it again: it was cut off, or is another file",
        ) from error
    check_runs_no_code(settings, file.name, source)
    return settings


def other_encoding(source: str, told: str) -> TrainerError:
    """Return the error of a file that `told` tells of, as OtherEncodingError does."""
    return model_error(
        Reason.MODEL_UNREADABLE,
        f"{source}: {told}",
        "save it as UTF-8 without a byte order mark: Notepad and PowerShell on Windows write one, or UTF-16, where they are not told "
        "otherwise",
    )


def _begin_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4)


def read_config(file: Path, source: str, place: str, arguments: Mapping[str, Any]) -> Any:
    """Return transformers' configuration of the model whose `config.json` is at `file`.

    Args:
        place: What `from_pretrained` takes, with these arguments.

    Raises:
        TrainerError: MODEL as `read_settings`, also for what transformers reads beside that file.
    """
    read_settings(file, source)
    config = AutoConfig.from_pretrained(place, **arguments)
    check_runs_no_code(config, file.name, source)
    return config


def check_runs_no_code(content: Any, name: str, source: str) -> None:
    """No field at any depth leads to code that is not installed here.

    Args:
        content: What a JSON file holds, or the configuration that transformers has made of it, and of files that it names.
        name: Of the file, for messages.

    Raises:
        TrainerError: MODEL, naming the field.
    """
    for field, value in fields_of(content):
        kind = field.rpartition(".")[2].lstrip("_").removesuffix("_internal")
        if kind in _LOADERS and value:
            raise _needs_code(source, f"{name}: {field}")
        choices = value.values() if isinstance(value, dict) else [value]
        if kind == "attn_implementation" and not all(map(_is_attention_here, choices)):
            raise _needs_code(source, f"{name}: {field} is {value!r:.100}")
        if kind == "experts_implementation" and not all(choice in (None, *_EXPERTS) for choice in choices):
            raise _needs_code(source, f"{name}: {field} is {value!r:.100}")


def check_generates_by_itself(model: PreTrainedModel, source: str) -> None:
    """The model writes texts in a way that is part of transformers: some were moved to repositories of the Hub.

    Raises:
        TrainerError: MODEL, naming the way.
    """
    settings = model.generation_config if model.can_generate() else None
    if settings is not None:
        mode = settings.get_generation_mode()
        if "/" in GENERATION_MODES_MAPPING[mode]:
            raise _needs_code(source, f"generation_config.json asks for {mode.value}")


def _is_attention_here(value: Any) -> bool:
    if value is None or value in _ATTENTION:
        return True
    package = _PACKAGES.get(value) if isinstance(value, str) else None
    try:
        return package is not None and find_spec(package) is not None
    except ModuleNotFoundError:  # of what the module is in
        return False


def fields_of(content: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each field with its path."""
    if isinstance(content, PreTrainedConfig):
        content = vars(content)
    if isinstance(content, list):
        for each in content:
            yield from fields_of(each, path)
    elif isinstance(content, dict):
        for name, value in content.items():
            field = f"{path}.{name}" if path else str(name)
            yield field, value
            yield from fields_of(value, field)


def _needs_code(source: str, what: str) -> TrainerError:
    return model_error(
        Reason.MODEL_NEEDS_CODE,
        f"{source}: {what}, for which code would have to be loaded from the Hub; that is never done",
        "take the field out, or use a model that needs nothing but transformers",
    )

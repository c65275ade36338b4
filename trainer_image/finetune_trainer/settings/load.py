"""Reads `run.yaml`. Everything wrong in it is reported at once, one line a field."""

import hashlib
import typing
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from finetune_api.reasons import Reason
from finetune_api.run import RunConfig
from finetune_trainer.base.errors import TrainerError, bad_configuration
from finetune_trainer.base.text import did_you_mean, listed

_HINT = "`kubectl explain ftj.spec` and the reference of run.yaml describe what each field takes"
_FLAT = "no setting needs more than a few levels; training.arguments takes flat lists and maps"


def load_config(path: Path, digest: str | None = None) -> RunConfig:
    """The run's settings.

    Args:
        digest: `sha256:…` that the file must have; any file does if left out.

    Raises:
        TrainerError: BAD_CONFIGURATION, with each wrong field and what to do about it.
    """
    try:
        content = path.read_bytes()
        if digest is not None:
            _check_digest(content, digest, path)
        text = content.decode()
    except OSError as error:
        raise bad_configuration(
            f"{path} cannot be read: {error.strerror}", "give --config the path of a file"
        ) from error
    except UnicodeDecodeError as error:
        raise bad_configuration(f"{path} is not UTF-8 text") from error
    return parse_config(text, str(path))


def _check_digest(content: bytes, digest: str, path: Path) -> None:
    found = "sha256:" + hashlib.sha256(content).hexdigest()
    if found != digest:
        raise bad_configuration(
            f"{path} is not the one that this job was created with: its digest is {found}, and that in the Job is {digest}",
            "somebody changed the annotation finetune.dev/run.yaml of the pod, or what it mounts: find out who, and create the FineTuneJob again",
            Reason.CONFIG_CHANGED,
        )


def parse_config(text: str, name: str) -> RunConfig:
    """As `load_config`, from YAML 1.2 text, where `5e-5` is a number. `name` is that of its file, for messages."""
    try:
        content = YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        line = f" line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise bad_configuration(f"{name}{line} is not YAML: {error.problem}") from error
    except YAMLError as error:
        raise bad_configuration(f"{name} is not YAML: {error}") from error
    except RecursionError:
        # Not chained: a traceback of a thousand frames helps nobody.
        raise bad_configuration(f"{name} is nested too deep to be read", _FLAT) from None
    except ValueError as error:
        raise bad_configuration(f"{name} holds a value that cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise bad_configuration(f"{name} holds no settings; it must be a mapping with task, model, dataset and output")
    try:
        return RunConfig.model_validate(content)
    except ValidationError as error:
        raise _explain(error) from error


def _explain(error: ValidationError) -> TrainerError:
    lines = list(dict.fromkeys(_line(details) for details in error.errors()))
    return bad_configuration("; ".join(lines[:8]), _HINT)


def _line(details: ErrorDetails) -> str:
    where = [str(part) for part in details["loc"]]
    field = ".".join(where) or "the settings"
    match details["type"]:
        case "extra_forbidden":
            known = _fields_at(where[:-1])
            return f"{field}: there is no such field{did_you_mean(where[-1], known)} (there are {listed(known)})"
        case "missing":
            return f"{field}: is required"
        case "literal_error":
            return f"{field}: must be {details['ctx']['expected']}, not {details['input']!r}"
    message = details["msg"].removeprefix("Input ")
    given = details["input"]
    return f"{field}: {message}" + (f", not {given!r:.80}" if isinstance(given, str | int | float) else "")


def _fields_at(where: list[str]) -> list[str]:
    model: Any = RunConfig
    for part in where:
        field = next((info for info in model.model_fields.values() if info.alias == part), None)
        model = field and _model_in(field.annotation)
        if model is None:
            return []
    return [info.alias or name for name, info in model.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    candidates = (annotation, *typing.get_args(annotation))
    return next((kind for kind in candidates if isinstance(kind, type) and issubclass(kind, BaseModel)), None)

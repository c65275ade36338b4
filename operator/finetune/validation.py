"""Whether a cluster would take a manifest: the rules of the CRD and of a FineTuneProfile, without a cluster."""

import difflib
import re
import typing
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from finetune.errors import Refused
from finetune.manifest import Manifest
from finetune_api.base import JsonObject
from finetune_api.labels import LabelSelector
from finetune_api.profile import KIND as PROFILE_KIND
from finetune_api.profile import NAMESPACE_LABEL, FineTuneProfile, FineTuneProfileSpec
from finetune_api.profile_rules import Request
from finetune_api.profile_table import violations

_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LONGEST_NAME: Final = 253


@dataclass(frozen=True)
class Problem:
    """One thing that a cluster would refuse."""

    file: str
    job: str
    """Name of the job in the manifest; "" where it has none."""
    field: str
    """Path in the manifest, such as spec.training.epochs; "" where no single field is wrong."""
    message: str

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.file, self.job, self.field, self.message)))

    def to_wire(self) -> JsonObject:
        """Return it as a JSON object."""
        return asdict(self)


@dataclass(frozen=True)
class NamedProfile:
    """A FineTuneProfile of a file."""

    name: str
    spec: FineTuneProfileSpec


@dataclass(frozen=True)
class Namespace:
    """Where jobs shall run, as far as rules of profiles ask for it."""

    name: str
    labels: Mapping[str, str] | None
    """None where they are not known: then no rule about them is checked."""


def find_problems(manifest: JsonObject, file: str, profile: NamedProfile | None, namespace: Namespace) -> list[Problem]:
    """Return everything that the API server, or the profile, would refuse in a manifest of the right kind.

    As there, the rules between fields are checked once each field is as it must be.
    """
    metadata = manifest.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    job = name if isinstance(name, str) else ""
    found = [Problem(file, job, "metadata.name", message) for message in _name_problems(metadata)]
    try:
        read = Manifest.parse(manifest)
    except ValidationError as error:
        return found + [Problem(file, job, field, message) for field, message in _told(error, Manifest)]
    if profile is None:
        return found
    return found + [Problem(file, job, "", message) for message in _against(read, profile, namespace)]


def read_profile(documents: list[Any], file: str) -> NamedProfile:
    """Return the one FineTuneProfile among the documents of a file.

    Raises:
        Refused: There is none, or more than one, or it is not as it must be.
    """
    profiles = [each for each in documents if isinstance(each, dict) and each.get("kind") == PROFILE_KIND]
    if len(profiles) != 1:
        raise Refused(
            f"{file} holds {len(profiles) or 'no'} {PROFILE_KIND}{'s' * (len(profiles) > 1)}, and one was expected"
        )
    metadata = profiles[0].get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    try:
        read = FineTuneProfile.model_validate({"spec": profiles[0].get("spec") or {}}, by_alias=True, by_name=False)
    except ValidationError as error:
        lines = [f"{file}: {field}: {message}" for field, message in _told(error, FineTuneProfile)]
        raise Refused("\n".join(lines)) from error
    return NamedProfile(str(name or "default"), read.spec)


def _name_problems(metadata: object) -> Iterator[str]:
    fields = metadata if isinstance(metadata, dict) else {}
    name = fields.get("name")
    if name is None:
        if not fields.get("generateName"):
            yield "is required"
    elif not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        yield "must be of lower-case letters, digits, - and ., begin and end with a letter or digit, and have at most 253 characters"


def _against(job: Manifest, profile: NamedProfile, namespace: Namespace) -> Iterator[str]:
    named = job.spec.profile
    if named not in (None, profile.name):
        yield f"spec.profile is {named}, and the profile to check against is {profile.name}"
    rules = profile.spec
    if namespace.labels is None:
        rules = rules.model_copy(update={"namespaces": LabelSelector()})
    labels = {**(namespace.labels or {}), NAMESPACE_LABEL: profile.name, "kubernetes.io/metadata.name": namespace.name}
    spec = job.spec.model_copy(update={"profile": None})
    yield from violations(Request(spec, job.name, job.metadata.namespace or namespace.name, labels), rules)


def _told(error: ValidationError, model: type[BaseModel]) -> list[tuple[str, str]]:
    """Path and message of each wrong field, and of each rule between fields that does not hold."""
    found = []
    for details in error.errors(include_url=False):
        field, message = _of_field(details, model)
        messages = details["ctx"]["messages"] if details["type"] == "rule" else [message]
        found += [(field, each) for each in messages]
    return list(dict.fromkeys(found))


def _of_field(details: ErrorDetails, model: type[BaseModel]) -> tuple[str, str]:
    """Path and message of a wrong field, in words that name a remedy."""
    where = [str(part) for part in details["loc"]]
    field = ".".join(where) or "spec"
    match details["type"]:
        case "extra_forbidden":
            close = difflib.get_close_matches(where[-1], _fields_at(model, where[:-1]), n=1)
            return field, "unknown field" + (f"; did you mean {close[0]}?" if close else "")
        case "missing":
            return field, "is required"
        case "literal_error":
            return field, f"must be {details['ctx']['expected']}, not {details['input']!r:.80}"
    message = details["msg"].removeprefix("Value error, ").removeprefix("Input ")
    given = details["input"]
    is_told = details["type"] == "converted" or not message.startswith("should")
    return field, message + (f", not {given!r:.80}" if not is_told and isinstance(given, str | int | float) else "")


def _fields_at(model: Any, where: list[str]) -> list[str]:
    for part in where:
        field = next((each for each in model.model_fields.values() if each.alias == part), None)
        model = field and _model_in(field.annotation)
        if model is None:
            return []
    return [each.alias or name for name, each in model.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    candidates = (annotation, *typing.get_args(annotation))
    return next((each for each in candidates if isinstance(each, type) and issubclass(each, BaseModel)), None)

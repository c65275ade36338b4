"""FineTuneJob manifests: written in Python, or read from YAML as kubectl reads it."""

import html
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, TypeGuard

from pydantic import ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import YAMLError
from ruamel.yaml.reader import ReaderError

from finetune.errors import NotFound, Refused
from finetune_api import v1alpha1
from finetune_api.base import JsonObject, LenientModel
from finetune_api.profile import KIND as PROFILE_KIND
from finetune_api.v1alpha1 import API_VERSION, KIND, FineTuneJobSpec

NO_JOB: Final = f"holds no {KIND}"


class Metadata(LenientModel):
    """What a manifest says of the object itself; the API server checks it."""

    model_config = ConfigDict(extra="allow")

    name: str | None = None
    generate_name: str | None = None
    """The beginning of a name that the API server completes."""
    namespace: str | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class Manifest(v1alpha1.FineTuneJob):
    """A manifest. Its spec is checked by the rules of the CRD as it is made."""

    api_version: Literal["finetune.dev/v1alpha1"] = API_VERSION
    kind: Literal["FineTuneJob"] = "FineTuneJob"
    metadata: Annotated[Metadata, Field(default_factory=Metadata)]

    @classmethod
    def of(cls, name: str, *, namespace: str | None = None, **spec: Any) -> Self:
        """Make a manifest from the fields of its spec: `FineTuneJob.of("stars", task=..., model={"source": ...}, ...)`.

        Raises:
            Refused: With each field that is not as it must be.
        """
        try:
            return cls(metadata=Metadata(name=name, namespace=namespace), spec=FineTuneJobSpec.model_validate(spec))
        except ValidationError as error:
            raise Refused(describe(error)) from error

    @classmethod
    def read(cls, manifest: JsonObject) -> Self:
        """Read a manifest as the API server would, its status left out.

        Raises:
            Refused: With each field that is not as it must be.
        """
        try:
            return cls.parse(manifest)
        except ValidationError as error:
            raise Refused(describe(error)) from error

    @classmethod
    def parse(cls, manifest: JsonObject) -> Self:
        """Read the same. Raises ValidationError."""
        fields = {name: value for name, value in manifest.items() if name != "status"}
        # Python's names of fields are none to an API server.
        return cls.model_validate(fields, by_alias=True, by_name=False)

    def __str__(self) -> str:
        """Return it as YAML."""
        return to_yaml(self.to_manifest())

    def _repr_html_(self) -> str:
        """Show it in a notebook as YAML."""
        return f"<pre>{html.escape(to_yaml(self.to_manifest()))}</pre>"

    @property
    def name(self) -> str:
        """Its name; "" where the API server is to complete one."""
        return self.metadata.name or ""

    def to_manifest(self) -> JsonObject:
        """Return what kubectl could apply: only what was set, so that defaults stay the cluster's."""
        chosen = self.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True)
        return {"apiVersion": API_VERSION, "kind": KIND, "metadata": {}, **chosen}


def describe(error: ValidationError) -> str:
    """Each wrong field on a line, with its path in the manifest."""
    lines = (
        f"{'.'.join(map(str, each['loc'])) or 'spec'}: {each['msg'].removeprefix('Value error, ')}"
        for each in error.errors(include_url=False)
    )
    return "\n".join(dict.fromkeys(lines))


def read_manifests(text: str, name: str) -> list[JsonObject]:
    """Return the FineTuneJobs in YAML or JSON of one or more documents, unchecked but for their kind. `name` is the file's.

    Raises:
        Refused: It is not YAML, or holds anything else than FineTuneJobs.
    """
    manifests = read_documents(text, name)
    for each in manifests:
        if not is_finetunejob(each):
            raise Refused(f"{name} {unexpected(each)}")
    if not manifests:
        raise Refused(f"{name} {NO_JOB}")
    return manifests


def is_finetunejob(document: object) -> TypeGuard[JsonObject]:
    """Whether a document is of the right kind, whatever else it holds."""
    return isinstance(document, dict) and document.get("kind") == KIND and document.get("apiVersion") == API_VERSION


def is_of_another_kind(document: object) -> TypeGuard[JsonObject]:
    """Whether a document is an object that a cluster may take, and no FineTuneJob whose kind or version is written wrong."""
    if not isinstance(document, dict):
        return False
    version, kind = document.get("apiVersion"), document.get("kind")
    if not (isinstance(version, str) and isinstance(kind, str)) or kind.lower() == KIND.lower():
        return False
    return kind == PROFILE_KIND or not version.startswith(f"{API_VERSION.partition('/')[0]}/")


def unexpected(document: object) -> str:
    """What a file holds in the place of a FineTuneJob."""
    return f"holds {kind_of(document)}, and {API_VERSION} {KIND} was expected"


def kind_of(document: object) -> str:
    """What a document says that it is."""
    if not isinstance(document, dict):
        return "a list" if isinstance(document, list) else "a single value"
    return (
        " ".join(str(document[name]) for name in ("apiVersion", "kind") if name in document) or "an object of no kind"
    )


def read_documents(text: str, name: str) -> list[Any]:
    """Return every document in YAML or JSON, each item of a List for itself. `name` is the file's.

    Raises:
        Refused: It is not YAML, or names a key twice.
    """
    try:
        return list(_flat([each for each in _yaml().load_all(text) if each is not None]))
    except (YAMLError, RecursionError, ValueError) as error:
        raise Refused(f"{name} is not YAML: {_fault(error, text)}") from error


def _fault(error: Exception, text: str) -> str:
    """Where it is and what, in a line; the library's own text has several, and how to switch its check off."""
    if isinstance(error, ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return f"line {line}: the character U+{error.character:04X} is not allowed"
    mark = getattr(error, "problem_mark", None)
    return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}" if mark else str(error)  # type: ignore[attr-defined]


def read_file(path: Path) -> list[JsonObject]:
    """As `read_manifests`, from a file."""
    return read_manifests(read_text(path), str(path))


def read_text(path: Path) -> str:
    """Return the text of a file.

    Raises:
        NotFound: There is none.
        Refused: It cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {path}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"{path} cannot be read: {error}") from error


def to_yaml(*objects: Any, ascii_only: bool = False) -> str:
    """Return YAML that every reader takes for the same: a text that looks like a number is quoted."""
    stream = io.StringIO()
    yaml = _yaml()
    yaml.default_flow_style = False
    yaml.allow_unicode = not ascii_only
    yaml.width = 120
    yaml.dump_all(objects, stream)
    return stream.getvalue()


def _flat(documents: list[Any]) -> Iterator[Any]:
    for each in documents:
        if isinstance(each, dict) and each.get("kind") in ("List", "FineTuneJobList"):
            yield from each.get("items") or []
        else:
            yield each


class _Constructor(SafeConstructor):
    """As Kubernetes reads YAML: a date is the text that stands there."""


_Constructor.add_constructor("tag:yaml.org,2002:timestamp", SafeConstructor.construct_yaml_str)


def _yaml() -> YAML:
    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = _Constructor
    return yaml

"""Reading request bodies: JSON, or YAML as Kubernetes reads it."""

import json
import re
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import YAMLError
from ruamel.yaml.resolver import VersionedResolver

from devcluster.apiserver.errors import bad_request, unsupported_media_type
from devcluster.apiserver.objects import Object
from devcluster.apiserver.protobuf import MEDIA_TYPE, decode_protobuf

_JSON = ("application/json", "application/yaml")


def decode(body: bytes, content_type: str, accepted: tuple[str, ...] = _JSON) -> tuple[Any, tuple[str, ...]]:
    """(the value, paths of fields that it names twice). 415 for another media type, 400 for what does not parse."""
    media_type = content_type.partition(";")[0].strip() or "application/json"
    if media_type not in accepted:
        raise unsupported_media_type(accepted)
    try:
        return _read_json(body)
    except ValueError as error:
        if not media_type.endswith("yaml"):
            raise bad_request(f"the object provided is unrecognized (must be of type Object): {error}") from error
    try:
        return _yaml().load(body.decode()), ()
    except (YAMLError, UnicodeDecodeError) as error:
        raise bad_request(f"error decoding YAML: {error}") from error


def decode_object(body: bytes, content_type: str, accepted: tuple[str, ...] = _JSON) -> tuple[Object, tuple[str, ...]]:
    if content_type == MEDIA_TYPE:
        return decode_protobuf(body), ()
    value, duplicates = decode(body, content_type, accepted)
    if not isinstance(value, dict):
        raise bad_request("the object provided is unrecognized (must be of type Object)")
    return value, duplicates


def _read_json(body: bytes) -> tuple[Any, tuple[str, ...]]:
    repeated: dict[int, list[str]] = {}

    def pairs(items: list[tuple[str, Any]]) -> Object:
        value = dict(items)
        if len(value) < len(items):
            names = [name for name, _ in items]
            repeated[id(value)] = sorted({name for name in names if names.count(name) > 1})
        return value

    value = json.loads(body, object_pairs_hook=pairs)
    return value, tuple(_paths(value, repeated, "")) if repeated else ()


def _paths(value: Any, repeated: dict[int, list[str]], path: str) -> list[str]:
    found: list[str] = []
    if isinstance(value, dict):
        found += [f"{path}.{name}".removeprefix(".") for name in repeated.get(id(value), ())]
        for name, item in value.items():
            found += _paths(item, repeated, f"{path}.{name}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            found += _paths(item, repeated, f"{path}[{index}]")
    return found


class _Resolver(VersionedResolver):
    """YAML 1.2, with the booleans and octal numbers of YAML 1.1 that Kubernetes' reader takes."""


class _Constructor(SafeConstructor):
    """Dates stay text, as they do in JSON."""


_WORDS = {word: word in ("y", "yes", "on") for word in ("y", "n", "yes", "no", "on", "off")}
_CASES = {form: value for word, value in _WORDS.items() for form in (word, word.capitalize(), word.upper())}


def _construct_word(constructor: SafeConstructor, node: Any) -> bool:
    return _CASES[constructor.construct_scalar(node)]


def _construct_int(constructor: SafeConstructor, node: Any) -> int:
    text = str(constructor.construct_scalar(node))
    return int(text, 8) if re.fullmatch(r"0[0-7]+", text) else int(constructor.construct_yaml_int(node))


def _construct_text(constructor: SafeConstructor, node: Any) -> str:
    return str(constructor.construct_scalar(node))


_Constructor.add_constructor("!word", _construct_word)
_Constructor.add_constructor("tag:yaml.org,2002:int", _construct_int)
_Constructor.add_constructor("tag:yaml.org,2002:timestamp", _construct_text)
_Resolver.add_implicit_resolver("!word", re.compile(f"^(?:{'|'.join(_CASES)})$"), list("yYnNoO"))


def _yaml() -> YAML:
    yaml = YAML(typ="safe", pure=True)
    yaml.Resolver = _Resolver
    yaml.Constructor = _Constructor
    return yaml

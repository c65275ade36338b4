"""Reading request bodies: JSON as Go reads it, or YAML as Kubernetes does."""

import json
import math
import re
from decimal import Decimal
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import YAMLError
from ruamel.yaml.resolver import VersionedResolver

from devcluster.apiserver.errors import ApiError, bad_request, unsupported_media_type
from devcluster.apiserver.objects import Object
from devcluster.apiserver.protobuf import MEDIA_TYPE, decode_protobuf

_JSON = ("application/json", "application/yaml")
MAX_DEPTH = 10_000
"""Go's decoder takes no deeper nesting."""
_BRACKET = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}\[\]]', re.DOTALL)
_INT64 = 2**63
_NO_EXPONENT = 1e21


def decode(body: bytes, content_type: str, accepted: tuple[str, ...] = _JSON) -> tuple[Any, tuple[str, ...]]:
    """(the value, paths of fields that it names twice). 415 for another media type, 400 for what does not parse."""
    media_type = content_type.partition(";")[0].strip() or "application/json"
    if media_type not in accepted:
        raise unsupported_media_type(accepted)
    try:
        return _read_json(body)
    except ValueError as error:
        if not media_type.endswith("yaml"):
            raise _unrecognized(f"couldn't get version/kind; json parse error: {error}") from error
    try:
        value = _yaml().load(body.decode())
    except (YAMLError, UnicodeDecodeError) as error:
        raise bad_request(f"error decoding YAML: {error}") from error
    except RecursionError:
        raise _too_deep_yaml() from None
    if _is_deeper(value, MAX_DEPTH):
        raise _too_deep_yaml()
    return value, ()


def _unrecognized(error: object) -> ApiError:
    return bad_request(f"the object provided is unrecognized (must be of type Object): {error}")


def _too_deep_yaml() -> ApiError:
    return _unrecognized(f"yaml: exceeded max depth of {MAX_DEPTH}")


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

    _check_depth(body)
    # Go puts U+FFFD for what is no UTF-8, and for half of a surrogate pair.
    text = body.decode(errors="replace")
    value = json.loads(text, object_pairs_hook=pairs, parse_int=_int, parse_float=_float, parse_constant=_no_constant)
    if "\\ud" in text or "\\uD" in text:
        value = _without_half_pairs(value)
    return value, tuple(_paths(value, repeated, "")) if repeated else ()


def _check_depth(body: bytes) -> None:
    depth = 0
    for match in _BRACKET.finditer(body):
        if match[0] in (b"{", b"["):
            depth += 1
            if depth > MAX_DEPTH:
                raise ValueError(f"invalid character '{match[0].decode()}' exceeded max depth")
        elif match[0] in (b"}", b"]"):
            depth -= 1


def _is_deeper(value: Any, levels: int) -> bool:
    """Whether a value is nested deeper; level by level, so that no depth is too much."""
    layer = [value]
    for _ in range(levels + 1):
        layer = [
            item
            for each in layer
            if isinstance(each, dict | list)
            for item in (each.values() if isinstance(each, dict) else each)
        ]
        if not layer:
            return False
    return True


def _int(text: str) -> float | int:
    # Cut before it is read: Python refuses numbers of more than 4,300 digits, and Go makes floats of what has over 19.
    number = int(text) if len(text) < 25 else _INT64
    return number if -_INT64 <= number < _INT64 else _float(text)


def _float(text: str) -> float | int:
    number = float(text)
    if math.isinf(number):
        raise bad_request(f"json: cannot unmarshal number {text} into Go value of type float64")
    # Go writes it without a fraction: the shortest digits that mean it, and zeros. So it comes back as an integer.
    return int(Decimal(repr(number))) if number.is_integer() and abs(number) < _NO_EXPONENT else number


def _no_constant(text: str) -> None:
    raise ValueError(f"invalid character '{text.lstrip('-')[0]}' looking for beginning of value")


def _without_half_pairs(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_without_half_pairs(name): _without_half_pairs(item) for name, item in value.items()}
    return [_without_half_pairs(item) for item in value] if isinstance(value, list) else value


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

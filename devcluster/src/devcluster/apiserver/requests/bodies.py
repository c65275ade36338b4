"""Reading request bodies: JSON as Go reads it, and the protobuf that kubectl and Helm send."""

import json
import math
import re
from decimal import Decimal
from typing import Any

from devcluster.apiserver.errors import bad_request, unsupported_media_type
from devcluster.apiserver.objects import Object
from devcluster.apiserver.requests.protobuf import MEDIA_TYPE, decode_protobuf

_JSON = ("application/json",)
MAX_DEPTH = 10_000
"""Go's decoder accepts no deeper nesting."""
_BRACKET = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}\[\]]', re.DOTALL)
_INT64 = 2**63
_NO_EXPONENT = 1e21


def decode(body: bytes, content_type: str, accepted: tuple[str, ...] = _JSON) -> Any:
    """Decode a body. Raises ApiError: 415 for another media type, 400 for a body that cannot be parsed."""
    media_type = content_type.partition(";")[0].strip() or "application/json"
    if media_type not in accepted:
        raise unsupported_media_type(accepted)
    try:
        return _read_json(body)
    except ValueError as error:
        raise bad_request(
            "the object provided is unrecognized (must be of type Object): couldn't get version/kind; json parse error:"
            f" {error}"
        ) from error


def decode_object(body: bytes, content_type: str, accepted: tuple[str, ...] = _JSON) -> Object:
    """Decode a body as `decode`, or from protobuf. Raises ApiError 400 also if it is not an object."""
    value = decode_protobuf(body) if content_type == MEDIA_TYPE else decode(body, content_type, accepted)
    if not isinstance(value, dict):
        raise bad_request("the object provided is unrecognized (must be of type Object)")
    return value


def _read_json(body: bytes) -> Any:
    _check_depth(body)
    # Go replaces invalid UTF-8, and half of a surrogate pair, by U+FFFD.
    text = body.decode(errors="replace")
    value = json.loads(text, parse_int=_int, parse_float=_float, parse_constant=_no_constant)
    return _without_half_pairs(value) if "\\ud" in text or "\\uD" in text else value


def _check_depth(body: bytes) -> None:
    depth = 0
    for match in _BRACKET.finditer(body):
        if match[0] in (b"{", b"["):
            depth += 1
            if depth > MAX_DEPTH:
                raise ValueError(f"invalid character '{match[0].decode()}' exceeded max depth")
        elif match[0] in (b"}", b"]"):
            depth -= 1


def _int(text: str) -> float | int:
    # Not parsed if long: Python refuses more than 4,300 digits, and Go makes floats of more than 19.
    number = int(text) if len(text) < 25 else _INT64
    return number if -_INT64 <= number < _INT64 else _float(text)


def _float(text: str) -> float | int:
    number = float(text)
    if math.isinf(number):
        raise bad_request(f"json: cannot unmarshal number {text} into Go value of type float64")
    # Go writes it without a fraction: the shortest digits that identify it, and zeros. So it is returned as an integer.
    return int(Decimal(repr(number))) if number.is_integer() and abs(number) < _NO_EXPONENT else number


def _no_constant(text: str) -> None:
    raise ValueError(f"invalid character '{text.lstrip('-')[0]}' looking for beginning of value")


def _without_half_pairs(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_without_half_pairs(name): _without_half_pairs(item) for name, item in value.items()}
    return [_without_half_pairs(item) for item in value] if isinstance(value, list) else value

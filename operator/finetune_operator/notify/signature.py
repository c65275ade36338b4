"""Signatures of Standard Webhooks: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime
from typing import Final

_PREFIX: Final = "whsec_"
_LEAST_BYTES: Final = 24
_MOST_KEYS: Final = 4


def read_keys(text: str) -> list[bytes]:
    """Return the keys that a Secret's value holds, separated by spaces.

    Raises:
        ValueError: There is none, or one is no base64, or is short; or there are more than anybody changes at a time.
    """
    words = text.split()
    if not words:
        raise ValueError("is empty")
    if len(words) > _MOST_KEYS:
        raise ValueError(f"has {len(words)} keys, and at most {_MOST_KEYS} sign")
    return [_read_key(word) for word in words]


def _read_key(word: str) -> bytes:
    try:
        key = base64.b64decode(word.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"is not {_PREFIX} and base64") from None
    if len(key) < _LEAST_BYTES:
        raise ValueError(f"has {len(key)} bytes, and needs {_LEAST_BYTES} random ones")
    return key


def signature_headers(event_id: str, moment: datetime, body: bytes, keys: Sequence[bytes]) -> dict[str, str]:
    """Return the headers of an attempt at this moment; `event_id` holds no full stop."""
    timestamp = str(int(moment.timestamp()))
    signed = f"{event_id}.{timestamp}.".encode() + body
    signatures = [base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode() for key in keys]
    return {
        "webhook-id": event_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{each}" for each in signatures),
    }

"""How a secret may stand in a text: whole or a part of it, as it is or as libraries write it in addresses, headers and JSON."""

import base64
import html
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, quote_plus

SHORTEST = 6
"""Shorter values are not secret, and would be found in the middle of words."""
_LONGEST_WORD = 4096
_MOST_LINES = 400
_SHORTEST_WORD = 12
"""Of a word in a text of several lines, such as a password in a netrc file."""
_PUBLIC_MEMBERS = frozenset(
    (
        "type", "project_id", "client_email", "client_id", "auth_uri", "token_uri", "auth_provider_x509_cert_url",
        "client_x509_cert_url", "universe_domain", "quota_project_id", "account_name", "accountname", "blobendpoint",
        "defaultendpointsprotocol", "endpointsuffix", "region",
    )
)  # fmt: skip
"""Fields of key files and connection strings that tell whose they are, and nothing that lets one in."""


def forms(value: str) -> Iterator[str]:
    """Yield all texts that give away a secret, or a part of it."""
    for part in {part.strip() for part in _parts(value)}:
        if len(part) >= SHORTEST:
            yield from _spellings(part)


def _parts(value: str) -> Iterator[str]:
    """Yield the value, and what is secret by itself in a key file, a connection string or a text of several lines."""
    yield value
    members = _members(value)
    if members is not None:
        for member in members:
            yield from _parts(member)
        return
    lines = value.strip().splitlines()
    fields = [field for line in lines[:_MOST_LINES] for field in line.split(";")]
    if len(fields) > 1:
        for line in lines[:_MOST_LINES]:
            yield line
            yield from (word for word in re.split(r"[\s\"']+", line) if len(word) >= _SHORTEST_WORD and "=" not in word)
    for field in fields:
        name, equals, rest = field.partition("=")
        if equals and re.fullmatch(r"[\w.-]+", name.strip()) and name.strip().lower() not in _PUBLIC_MEMBERS:
            yield rest.strip().strip("\"'")


def _members(value: str) -> list[str] | None:
    """Return the texts in a JSON document, but for those that are public; None where it is no document."""
    try:
        content = json.loads(value)
    except (ValueError, RecursionError):
        return None
    return list(_texts(content)) if isinstance(content, dict | list) else None


def _texts(content: Any, name: str = "") -> Iterator[str]:
    if isinstance(content, dict):
        for key, member in content.items():
            yield from _texts(member, key)
    elif isinstance(content, list):
        for member in content:
            yield from _texts(member, name)
    elif isinstance(content, str) and name.lower() not in _PUBLIC_MEMBERS:
        yield content


def _spellings(part: str) -> Iterator[str]:
    yield part
    yield part.encode("unicode_escape").decode()
    yield quote(part, safe="")
    yield quote(part, safe="").lower()
    yield quote(part)
    yield quote_plus(part)
    yield json.dumps(part)[1:-1]
    yield json.dumps(part, ensure_ascii=False)[1:-1]
    yield repr(part)[1:-1]
    yield repr(part.encode())[2:-1]
    yield html.escape(part)
    if len(part) <= _LONGEST_WORD:
        yield part.encode().hex()
        yield from _in_base64(part.encode())


def _in_base64(content: bytes) -> Iterator[str]:
    """Yield what stays the same in base64 whatever is before and after it: a password in a header stands behind a name."""
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + content).decode().rstrip("=")
        # The first and the last characters depend on the neighbours too.
        kept = encoded[-(-before * 8 // 6) :][: (len(content) * 8 - (-before * 8 % 6)) // 6]
        if len(kept) >= SHORTEST:
            yield kept
            yield kept.replace("+", "-").replace("/", "_")

"""Removes secrets from everything that leaves the trainer: log lines, tracebacks, reports and the final report."""

import json
import logging
import re
import threading
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

logger = logging.getLogger(__name__)

HIDDEN = "***"
_SHORTEST = 6
"""Shorter values are not secret, and would be found in the middle of words."""
_PATTERNS = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)",
        r"\bhf_[A-Za-z0-9]{16,}",
        r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}",
        r"(?i)(?<=AccountKey=)[^;\s'\"]+",
        r"(?i)(?<=SharedAccessSignature=)[^;\s'\"]+",
        r"(?i)(?<=[?&;]sig=)[^&;\s'\"]+",
        r"(?i)(?<=X-Amz-Signature=)[^&\s'\"]+",
        r"(?i)(?<=X-Goog-Signature=)[^&\s'\"]+",
        r"(?i)(?<=X-Amz-Security-Token=)[^&\s'\"]+",
        r"(?i)(?<=Bearer )[A-Za-z0-9._~+/=-]{8,}",
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    )
)
"""Secrets known by their form: passwords in URLs, tokens of the Hub, keys and signatures of the clouds."""


class Redactor:
    """Replaces known secrets, however they are encoded, and what looks like a secret."""

    def __init__(self) -> None:
        self._known: tuple[str, ...] = ()
        self._lock = threading.Lock()

    def remember(self, values: Iterable[str]) -> None:
        """Replace these values from now on."""
        encodings = {encoding for value in values for encoding in _encodings(value) if len(encoding) >= _SHORTEST}
        with self._lock:
            self._known = tuple(sorted(encodings.union(self._known), key=lambda known: (-len(known), known)))

    def __call__(self, text: str) -> str:
        """Return the text without secrets."""
        for secret in self._known:
            text = text.replace(secret, HIDDEN)
        for pattern in _PATTERNS:
            text = pattern.sub(HIDDEN, text)
        return text


redact = Redactor()
"""The redactor of this process: logging is global too."""


def _encodings(value: str) -> Iterable[str]:
    """Yield a value as it is, in URLs and in JSON, and the secrets in it where it is a key file or a connection string."""
    value = value.strip()
    parts = [value, *value.splitlines(), *_members(value)]
    if ";" in value and "=" in value:
        parts += [
            field.partition("=")[2]
            for field in value.split(";")
            if field.partition("=")[0].lower() in ("accountkey", "sharedaccesssignature")
        ]
    for part in parts:
        yield part
        yield quote(part, safe="")
        yield json.dumps(part)[1:-1]


def _members(value: str) -> list[str]:
    try:
        content = json.loads(value)
    except ValueError:
        return []
    secret = ("private_key", "private_key_id", "client_secret", "refresh_token", "token")
    if not isinstance(content, dict):
        return []
    members = [member for name, member in content.items() if name in secret and isinstance(member, str)]
    return [line for member in members for line in (member, *member.splitlines())]


def guard_logs() -> None:
    """Redact every record of every logger from now on, of libraries too, and what ends a thread."""
    make = logging.getLogRecordFactory()
    if getattr(make, "redacts", False):
        return

    def make_redacted(*arguments: Any, **options: Any) -> logging.LogRecord:
        record = make(*arguments, **options)
        _redact_record(record)
        return record

    make_redacted.redacts = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(make_redacted)
    threading.excepthook = _log_thread_failure


def _redact_record(record: logging.LogRecord) -> None:
    try:
        message = record.getMessage()
    except (TypeError, ValueError, KeyError):
        return  # logging itself reports a wrong format
    clean = redact(message)
    if clean != message:
        record.msg, record.args = clean, ()
    if record.exc_info and record.exc_info[0] is not None:
        record.exc_text = redact(logging.Formatter().formatException(record.exc_info))


def _log_thread_failure(arguments: threading.ExceptHookArgs) -> None:
    if arguments.exc_type is SystemExit or arguments.exc_value is None:
        return
    name = arguments.thread.name if arguments.thread else "a thread"
    logger.error(
        "%s ended by an exception", name, exc_info=(arguments.exc_type, arguments.exc_value, arguments.exc_traceback)
    )

"""Removes secrets from everything that leaves the trainer: log lines, tracebacks, reports and the final report."""

import logging
import re
import sys
import threading
from collections.abc import Iterable
from itertools import takewhile
from types import TracebackType
from typing import Any

from finetune_api.printable import printable
from finetune_trainer.base.secret_forms import forms

logger = logging.getLogger(__name__)

HIDDEN = "***"
_HEAD = 12
"""So many characters of the beginning give away a secret of twice as many."""
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
        r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    )
)
"""Secrets known by their form: passwords in URLs, tokens of the Hub, keys and signatures of the clouds, tokens of Kubernetes."""


class Redactor:
    """Replaces known secrets, however they are encoded, and what looks like a secret."""

    def __init__(self) -> None:
        self._known: tuple[str, ...] = ()
        self._heads: tuple[tuple[str, tuple[str, ...]], ...] = ()
        """The secrets that begin so: tokens of one kind begin alike."""
        self._public: tuple[str, ...] = ()
        self._lock = threading.Lock()

    def remember(self, values: Iterable[str]) -> None:
        """Replace these values from now on, however they are spelled, and what is secret in them."""
        found = {form for value in values for form in forms(value) if not self._is_public(form)}
        with self._lock:
            self._know(found.union(self._known))

    def publish(self, texts: Iterable[str]) -> None:
        """Leave alone what is in these texts, which everybody may read: a Secret may hold the name of a bucket."""
        self._public = (*self._public, *texts)
        with self._lock:
            self._know({form for form in self._known if not self._is_public(form)})

    def __call__(self, text: str) -> str:
        """Return the text without secrets, nor the beginning of one that was cut."""
        for secret in self._known:
            text = text.replace(secret, HIDDEN)
        for head, secrets in self._heads:
            text = _without_beginnings(text, head, secrets)
        for pattern in _PATTERNS:
            text = pattern.sub(HIDDEN, text)
        return text

    def tree(self, value: Any) -> Any:
        """Return a JSON value whose texts are without secrets."""
        if isinstance(value, str):
            return self(value)
        if isinstance(value, dict):
            return {self(name): self.tree(member) for name, member in value.items()}
        return [self.tree(member) for member in value] if isinstance(value, list) else value

    def _know(self, known: set[str]) -> None:
        self._known = tuple(sorted(known, key=lambda form: (-len(form), form)))
        heads: dict[str, list[str]] = {}
        for form in self._known:
            if len(form) >= 2 * _HEAD:
                heads.setdefault(form[:_HEAD], []).append(form)
        self._heads = tuple(
            (head, tuple(forms_of_head))
            for head, forms_of_head in sorted(heads.items())
            if "://" not in head and not self._is_public(head)
        )

    def _is_public(self, form: str) -> bool:
        return any(form in text for text in self._public)


def _without_beginnings(text: str, head: str, secrets: Iterable[str]) -> str:
    start = text.find(head)
    while start >= 0:
        length = max(_alike(text[start:], secret) for secret in secrets)
        text = f"{text[:start]}{HIDDEN}{text[start + length :]}"
        start = text.find(head, start + len(HIDDEN))
    return text


def _alike(text: str, secret: str) -> int:
    """Return how many characters both begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(text, secret, strict=False)))


redact = Redactor()
"""The redactor of this process: logging is global too."""


def guard_logs() -> None:
    """Redact every record of every logger from now on, of libraries too, and what ends a thread or the program.

    What a terminal would obey is left out too: a message may hold a name or a text that somebody else wrote.
    """
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
    sys.excepthook = _log_failure


def _redact_record(record: logging.LogRecord) -> None:
    try:
        message = record.getMessage()
    except (TypeError, ValueError, KeyError):
        return  # logging itself reports a wrong format
    clean = printable(redact(message), lines=True)
    if clean != message:
        record.msg, record.args = clean, ()
    if record.exc_info and record.exc_info[0] is not None:
        record.exc_text = printable(redact(logging.Formatter().formatException(record.exc_info)), lines=True)


def _log_thread_failure(arguments: threading.ExceptHookArgs) -> None:
    if arguments.exc_type is SystemExit or arguments.exc_value is None:
        return
    name = arguments.thread.name if arguments.thread else "a thread"
    logger.error(
        "%s ended by an exception", name, exc_info=(arguments.exc_type, arguments.exc_value, arguments.exc_traceback)
    )


def _log_failure(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
    else:
        logger.error("the program ended by an exception", exc_info=(kind, error, traceback))

"""What is logged goes to stderr, each line once."""

import logging
import sys


def log_to_stderr() -> None:
    """Write every logger's warnings to stderr as plain lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    handler.addFilter(_is_not_written_yet)
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


def _is_not_written_yet(record: logging.LogRecord) -> bool:
    """Libraries such as huggingface_hub write to stderr by a handler of their own, and hand on to the root's all the same."""
    library = logging.getLogger(record.name.partition(".")[0])
    return not any(type(each) is logging.StreamHandler for each in library.handlers)

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
    above: logging.Logger | None = logging.getLogger(record.name)
    # A record that came to the root's handler was handed on by each of them.
    while above is not None and above is not logging.root:
        if any(type(each) is logging.StreamHandler and each.level <= record.levelno for each in above.handlers):
            return False
        above = above.parent
    return True

"""What a file holds by its first bytes, where that is not what its name says."""

import re
from typing import Final

from finetune_api.reasons import Reason
from finetune_trainer.base.errors import TrainerError, data_error

HEAD: Final = 256
"""Bytes that `unlike_its_name` wants to see."""
_TO_TEXT = "export it as csv, jsonl or parquet"
_FOREIGN = (
    (b"PK\x03\x04", "an archive (zip) or a spreadsheet", f"unpack it, or {_TO_TEXT}"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a spreadsheet of an old form (xls)", _TO_TEXT),
    (b"SQLite format 3\x00", "a database (SQLite)", _TO_TEXT),
    # With the byte that comes next in each: a header of columns may begin with the same letters.
    (b"PAR1\x15", "parquet", "let its name end in .parquet"),
    (b"ARROW1\x00\x00", "an Arrow file", "write it as parquet, or by save_to_disk"),
)
_LFS: Final = b"version https://git-lfs.github.com/spec/"
_JSON: Final = re.compile(rb'(\xef\xbb\xbf)?\s*(\[\s*)?\{\s*"[^"]*"\s*:')
_BEFORE_TEXT: Final = b" \t\r\n\xef\xbb\xbf"


def unlike_its_name(name: str, suffix: str, head: bytes) -> TrainerError | None:
    """Return the failure of a file that is something else than its suffix says; None where it may be that.

    Args:
        head: Its first bytes, unpacked.
    """
    if head.startswith(_LFS):
        return data_error(
            Reason.FILE_IS_LFS_POINTER,
            f"{name} is a git LFS pointer, and not the file itself",
            "fetch the files: git lfs pull; or copy the data set by hf download",
        )
    if head.lstrip(_BEFORE_TEXT).lower().startswith((b"<!doctype html", b"<html")):
        return data_error(
            Reason.DATASET_UNREADABLE,
            f"{name} is a page of HTML, and not {suffix or 'text'}",
            "is it a page to sign in, or of an error? Download the file itself",
        )
    if suffix in (".csv", ".tsv") and _is_json(head):
        return data_error(
            Reason.DATASET_UNREADABLE,
            f"{name} is JSON, and not {suffix}",
            "let its name end in .jsonl where each line is an object, else in .json",
        )
    for magic, what, hint in _FOREIGN:
        if head.startswith(magic) and what != suffix[1:]:
            return data_error(Reason.DATASET_UNREADABLE, f"{name} is {what}, and not {suffix or 'text'}", hint)
    return None


def _is_json(head: bytes) -> bool:
    """Whether it begins as JSON does. A line that ends as none of JSON is a row, whose first cell may be an object."""
    if not _JSON.match(head):
        return False
    line, ended, _ = head.lstrip(_BEFORE_TEXT).partition(b"\n")
    return not ended or line.rstrip().endswith((b"{", b"[", b"}", b"]", b","))

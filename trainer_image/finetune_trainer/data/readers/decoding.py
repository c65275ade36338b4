"""Files of text as text, whatever they are packed and written in: UTF-8, or UTF-16 and UTF-32 as spreadsheets write it."""

import bz2
import codecs
import gzip
import logging
import lzma
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from io import BufferedReader, RawIOBase, TextIOWrapper
from pathlib import Path
from typing import IO, Any, TextIO, cast

import pyarrow as pa  # type: ignore[import-untyped]

from finetune_api import encodings
from finetune_api.reasons import Reason
from finetune_trainer.base.errors import TrainerError, data_error
from finetune_trainer.data.readers.bounds import MOST_CHARACTERS, Unpacked
from finetune_trainer.data.readers.contents import HEAD, unlike_its_name

logger = logging.getLogger(__name__)

FORMATS = {".csv": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "json", ".ndjson": "json", ".parquet": "parquet"}
"""Reader of each suffix."""
PACKED = (".gz", ".bz2", ".xz", ".zst")
"""Suffixes of files that are read although they are packed."""
_MAGIC = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
TO_UTF8 = (
    "convert it from what it was saved as, such as by iconv -f cp1252 -t utf-8 (Windows of western languages; others have "
    "cp1251, gb18030, shift-jis), or save it as UTF-8"
)
"""What to do about text that is not UTF-8."""
_OF_OTHER_SCRIPTS = (
    "convert it from what it was saved as, such as by iconv -f cp1251 -t utf-8 (Windows of Cyrillic; older Cyrillic has koi8-r or cp866, "
    "Chinese gb18030 or big5, Japanese shift-jis, Korean cp949) and look whether it reads well, or save it as UTF-8"
)


@dataclass(frozen=True)
class DataFile:
    """A file of rows."""

    path: Path
    name: str
    """As its owner knows it."""

    @property
    def suffix(self) -> str:
        """`.csv` of `a.csv` and of `a.csv.gz`."""
        return Path(self.path.name.removesuffix(packing(self.path.name))).suffix.lower()


@dataclass(frozen=True)
class Text:
    """The text of a file, read once from its beginning on. Its lines end as they end in the file."""

    file: DataFile
    stream: TextIO

    def lines(self, number: int = 1, most: int | None = None) -> Iterator[str]:
        """Yield the lines, each with its end, from where the text was read to.

        Args:
            number: Of the next line; the first is 1.
            most: Characters of a line. If left out those of a row.

        Raises:
            TrainerError: DATA for a line that is longer.
        """
        most = most or MOST_CHARACTERS
        while line := self.stream.readline(most):
            if len(line) == most and not line.endswith(("\n", "\r")):
                raise self.too_long(number, most=most)
            yield line
            number += 1

    def filled(self, number: int = 1, most: int | None = None) -> Iterator[tuple[int, str]]:
        """Yield number and text of the lines that hold anything; as `lines`."""
        return ((at, line) for at, line in enumerate(self.lines(number, most), start=number) if line.strip())

    def rest(self, number: int, what: str, most: int) -> str:
        """Return all that is left of it.

        Args:
            number: Of the line that it is read from on.
            what: That it is, for the message.
            most: Characters.

        Raises:
            TrainerError: DATA where there is more.
        """
        rest = self.stream.read(most)
        if len(rest) == most:
            raise self.too_long(number, what, most)
        return rest

    def too_long(self, line: int, what: str = "it", most: int = MOST_CHARACTERS) -> TrainerError:
        """Return the failure of what is longer than can be read: a line, a row, or all that there is."""
        return data_error(
            Reason.DATASET_UNREADABLE,
            f"{self.file.name}, line {line}: {what} is longer than {most // 1_000_000} million characters",
            "is it a file of rows? Write jsonl with a row a line, and cut texts that no model can read",
        )


def packing(name: str) -> str:
    """The suffix of a packed file, such as `.gz`, or nothing."""
    return next((name[-len(suffix) :] for suffix in PACKED if name.lower().endswith(suffix)), "")


@contextmanager
def text_of(file: DataFile) -> Iterator[Text]:
    """The file's text.

    Raises:
        TrainerError: DATA when it is packed in another way than its suffix, or torn, or is no text.
    """
    try:
        with _bytes_of(file) as packed:
            stream = BufferedReader(cast("RawIOBase", packed), 1 << 20)
            head = stream.peek(encodings.HEAD)[: encodings.HEAD]
            if other := unlike_its_name(file.name, file.suffix, head[:HEAD]):
                raise other
            encoding = encodings.encoding_of(head)
            if not encoding.startswith("utf-8"):
                _report(file, encoding)
            with TextIOWrapper(stream, encoding, newline="") as text:
                yield Text(file, text)
    except UnicodeDecodeError as error:
        raise _not_utf8(file, error) from error
    except (EOFError, zlib.error, lzma.LZMAError, OSError) as error:
        raise data_error(
            Reason.DATASET_UNREADABLE, f"{file.name} cannot be read: {error}", "is the file whole? Copy it again"
        ) from error


def _bytes_of(file: DataFile) -> IO[bytes]:
    with file.path.open("rb") as opened:
        head = opened.read(6)
    match next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None):
        case "gzip":
            return _unpacked(gzip.open(file.path), file)
        case "bz2":
            return _unpacked(bz2.open(file.path), file)
        case "xz":
            return _unpacked(lzma.open(file.path), file)
        case "zstd":
            return _unpacked(pa.input_stream(str(file.path), compression="zstd"), file)
        case _:
            return file.path.open("rb", buffering=0)


def _unpacked(content: Any, file: DataFile) -> IO[bytes]:
    return cast("IO[bytes]", Unpacked(content, file.name, file.path))


@cache
def _report(file: DataFile, encoding: str) -> None:
    """Log it once, though a file is read more than once."""
    logger.info("%s is %s", file.name, encoding.upper())


def _not_utf8(file: DataFile, error: UnicodeDecodeError) -> TrainerError:
    if error.encoding != "utf-8":
        return data_error(
            Reason.NOT_UTF8, f"{file.name} is not whole: {error}", "convert it, as by iconv -f utf-16 -t utf-8"
        )
    byte = error.object[error.start]
    return data_error(
        Reason.NOT_UTF8,
        f"{file.name} is not UTF-8: byte 0x{byte:02x} in line {_broken_line(file)}",
        TO_UTF8 if _is_mostly_ascii(error.object) else _OF_OTHER_SCRIPTS,
    )


def _is_mostly_ascii(text: bytes) -> bool:
    """Whether letters beyond ASCII stand alone among others, as in western languages, and not in words of their own."""
    beyond = re.findall(rb"[\x80-\xff]+", text)
    return sum(len(run) == 1 for run in beyond) * 2 > len(beyond)


def _broken_line(file: DataFile) -> int:
    """The first line that is not UTF-8, counted from 1."""
    decoder, line = codecs.getincrementaldecoder("utf-8")(), 1
    with _bytes_of(file) as content:
        while chunk := content.read(1 << 20):
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as error:
                return line + error.object[: error.start].count(b"\n")
            line += chunk.count(b"\n")
    return line

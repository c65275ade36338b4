"""What a file of text is written in, for whoever looks at one: the trainer, and what proposes a manifest."""

import codecs
from collections.abc import Iterator
from typing import Final

HEAD: Final = 4096
"""Bytes that `encoding_of` wants to see."""
_MARKS: Final = {  # the longer first: that of UTF-32 begins with that of UTF-16
    codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32", codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16", codecs.BOM_UTF8: "utf-8-sig",
}  # fmt: skip
_WIDE: Final = {"utf-32-le": 4, "utf-32-be": 4, "utf-16-le": 2, "utf-16-be": 2}
"""Bytes of a sign. The wider first: signs of UTF-32 hold those of UTF-16."""
_SIGNS: Final = '\n\r\t,;|":'
"""What stands between rows, fields and texts, in whatever script these are."""
_OF_TEXT: Final = b"\n\t\r\f"
"""Control characters that text may hold."""
_BY_CHANCE: Final = 8


def encoding_of(head: bytes) -> str:
    """What a file is written in: by its byte order mark; without one by how wide the signs are that part its rows and fields.

    Args:
        head: Its first bytes.
    """
    if marked := next((name for mark, name in _MARKS.items() if head.startswith(mark)), None):
        return marked
    if _is_narrow(head.split(b"\0", 1)[0]):
        return "utf-8"
    signs = {name: sum(1 for _ in _signs(head, name)) for name in _WIDE}
    likely = max(signs, key=lambda name: signs[name])
    return likely if signs[likely] else "utf-8"


def _is_narrow(before: bytes) -> bool:
    """Whether what stands before the first zero is at least a line of UTF-8, too long for letters of two bytes to look so by chance."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(before)
    except UnicodeDecodeError:
        return False
    return len(before) > _BY_CHANCE and b"\n" in before and all(byte >= ord(" ") or byte in _OF_TEXT for byte in before)


def _signs(head: bytes, encoding: str) -> Iterator[int]:
    """Yield where a sign of `_SIGNS` stands."""
    width, wanted = _WIDE[encoding], {sign.encode(encoding) for sign in _SIGNS}
    return (place for place in range(0, len(head), width) if head[place : place + width] in wanted)

"""The schemes by which tags mark entities of several words: which one a set of tags is of, and the same tags as seqeval reads them."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_MARK_FIRST = re.compile(r"(?P<mark>[BIESLUMW])(?:[-_:./|](?P<kind>.+))?", re.IGNORECASE)
_MARK_LAST = re.compile(r"(?:(?P<kind>.+)[-_:./|])?(?P<mark>[BIESLUMW])", re.IGNORECASE)
_TYPED = re.compile(r"[BIESLUMW][-_:./|].+|.+[-_:./|][BIESLUMW]")
_USUAL = re.compile(r"[BIES]-.+")
_OUTSIDE = {"o", "0", "out", "outside", "other", "none", "null", "_", "-"}
"""What words of no entity are tagged with; by far most often O."""
_READ_AS = {"B": "B", "I": "I", "E": "E", "S": "S", "M": "I", "L": "E", "U": "S", "W": "S"}
"""seqeval's marks: a word that begins an entity, is inside, ends it, or is one by itself."""
_SCHEMES = {"IOB": "BI", "IOE": "IE", "BIOES": "BIES", "BILOU": "BILU", "BMES": "BMES", "BMEWO": "BMEW"}


@dataclass(frozen=True)
class EntityTags:
    """Tags of entities."""

    scheme: str
    """Such as IOB, of which IOB1 and IOB2 are read alike."""
    read_as: list[str]
    """Each tag in the form that seqeval's lenient mode takes: O, or B, I, E or S with the type after a hyphen."""


def entity_tags(names: Sequence[str]) -> EntityTags | None:
    """The scheme of a set of tags; None where they are none of entities, or it is not clear.

    Marks come before the type or behind it, or there is one type without a name.
    """
    for pattern in (_MARK_FIRST, _MARK_LAST):
        found = _read(names, pattern.fullmatch)
        if found:
            return found
    return None


def doubt_of(names: Sequence[str]) -> str | None:
    """Why tags of no scheme may be of entities all the same; None for usual ones of single words, as parts of speech."""
    if marked := next((name for name in names if _TYPED.fullmatch(name)), None):
        return f"some look so, such as '{marked}', but not all"
    if all(re.fullmatch(r"-?\d+", name) for name in names):
        return "they are numbers without names"
    if any(name.upper() == "O" for name in names):
        return "there is an 'O' among them, but no mark for where an entity begins"
    return None


def _read(names: Sequence[str], match: Callable[[str], re.Match[str] | None]) -> EntityTags | None:
    inside = [name for name in names if name.lower() not in _OUTSIDE]
    found = {name: each for name in inside if (each := match(name))}
    if not inside or len(found) < len(inside) or len(names) - len(inside) > 1:
        return None
    marks = {name: each["mark"].upper() for name, each in found.items()}
    scheme = next((scheme for scheme, known in _SCHEMES.items() if {*marks.values()} <= {*known}), None)
    typed = {each["kind"] is not None for each in found.values()}
    # What merely looks like a mark, such as the sizes S and M, comes without any for a beginning or an inside.
    sure = {"B", "I"} & {*marks.values()} or all(_USUAL.fullmatch(name) for name in inside)
    if scheme is None or len(typed) > 1 or not sure:
        return None
    read = {
        name: f"{_READ_AS[mark]}-{found[name]['kind']}" if found[name]["kind"] else _READ_AS[mark]
        for name, mark in marks.items()
    }
    return EntityTags(scheme, [read.get(name, "O") for name in names])

"""What a change of a CRD takes away from those who use the last release. See docs/reference/api-policy.md."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from finetune_api.base import JsonObject
from finetune_api.v1alpha1 import PLURAL

RELEASED: Final = "crds/released"
"""A folder for each release, of which the newest counts, and the breaks that were accepted since."""
_ACCEPTED: Final = "accepted-breaks.yaml"
_UPPER: Final = ("maximum", "maxLength", "maxItems", "maxProperties")
_LOWER: Final = ("minimum", "minLength", "minItems", "minProperties")
_EXCLUSIVE: Final = ("exclusiveMinimum", "exclusiveMaximum")
_FIXED: Final = ("type", "format", "pattern", "x-kubernetes-list-type", "x-kubernetes-list-map-keys")
_CHOICES: Final = re.compile(r"\[('[^']*'(?:, '[^']*')*)\]")
_ONLY_FOR: Final = re.compile(r"(?:!\(self\.([\w.]+) == '([^']*)'\)|self\.([\w.]+) != '([^']*)') \|\| ")
"""The beginning of a rule that holds for one value of a field."""
_ONLY_WITH: Final = re.compile(r"!has\(self\.([\w.]+)\) \|\| [^?]*")
"""A rule that says nothing where a field is left out."""
_FIELD: Final = re.compile(r"\b(?:self|oldSelf)\.(\w+)\b(?!\()")
"""A field that a rule looks at, and not a function such as `self.matches(…)`."""
_WIDE: Final = ("nullable", "x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields")


def unaccepted_breaks(root: Path, *current: JsonObject) -> list[str]:
    """Return what the CRDs break against the last release, and accepted breaks that they do not make.

    `root` is the repository's; `accepted-breaks.yaml` beside the releases maps each accepted break to its reason.
    """
    folder = root / RELEASED
    last = max(folder.glob("v*"), key=lambda path: _version(path.name))
    accepted: dict[str, str] = yaml.safe_load((folder / _ACCEPTED).read_text(encoding="utf-8")) or {}
    found = [line for crd in current for line in _breaks_of_release(last, crd)]
    stale = [f"{_ACCEPTED}: not a break: {line}" for line in accepted if line not in found]
    return [line for line in found if not accepted.get(line)] + stale


def _breaks_of_release(folder: Path, current: JsonObject) -> list[str]:
    """The breaks of one CRD, those of a FineTuneProfile with its name before them. None of a kind that the release does not have."""
    plural = current["spec"]["names"]["plural"]
    path = folder / f"{plural}.yaml"
    if not path.exists():
        return []
    lines = breaks(yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader), current)
    return lines if plural == PLURAL else [f"{plural}: {line}" for line in lines]


def breaks(released: JsonObject, current: JsonObject) -> list[str]:
    """Return one line, `field: what`, for each way in which an object or client of `released` no longer fits `current`."""
    old, new = released["spec"], current["spec"]
    found = [f"{field}: changed" for field in ("group", "scope") if old[field] != new[field]]
    found += [f"names.{name}: changed" for name in ("kind", "plural") if old["names"][name] != new["names"][name]]
    found += [
        f"names.{name}: lost {each!r}"
        for name in ("shortNames", "categories")
        for each in old["names"].get(name, [])
        if each not in new["names"].get(name, [])
    ]
    present = {version["name"]: version for version in new["versions"] if version["served"]}
    for version in old["versions"]:
        name = version["name"]
        if name not in present:
            found.append(f"{name}: no longer served")
            continue
        found += [
            f"{name}: lost the subresource {each}"
            for each in version.get("subresources", {})
            if each not in present[name].get("subresources", {})
        ]
        found += _node(version["schema"]["openAPIV3Schema"], present[name]["schema"]["openAPIV3Schema"], name)
    return found


def _node(old: JsonObject, new: JsonObject, path: str) -> Iterator[str]:
    yield from _values(old, new, path)
    yield from _bounds(old, new, path)
    yield from _rules(old, new, path)
    yield from _fields(old, new, path)
    for keyword, suffix in (("items", "[]"), ("additionalProperties", "[*]")):
        if isinstance(old.get(keyword), dict):
            if isinstance(new.get(keyword), dict):
                yield from _node(old[keyword], new[keyword], path + suffix)
            else:
                yield f"{path}: lost {keyword}"


def _values(old: JsonObject, new: JsonObject, path: str) -> Iterator[str]:
    """Changes of type, default and choices."""
    for keyword in _FIXED:
        if new.get(keyword) != old.get(keyword) and not (keyword in ("format", "pattern") and keyword not in new):
            yield f"{path}: {keyword} changed from {old.get(keyword)!r} to {new.get(keyword)!r}"
    yield from (f"{path}: lost {keyword}" for keyword in _WIDE if old.get(keyword) and not new.get(keyword))
    if "properties" not in old and old.get("default") != new.get("default"):
        yield f"{path}: default changed from {old.get('default')!r} to {new.get('default')!r}"
    if "properties" in old and ("default" in old) != ("default" in new):
        yield f"{path}: {'lost' if 'default' in old else 'got'} its default"
    if "enum" in new:
        lost = [value for value in old["enum"] if value not in new["enum"]] if "enum" in old else ["any other value"]
        yield from (f"{path}: enum lost {value!r}" for value in lost)


def _bounds(old: JsonObject, new: JsonObject, path: str) -> Iterator[str]:
    for keyword in (*_UPPER, *_LOWER):
        before, after = old.get(keyword), new.get(keyword)
        lower = keyword in _LOWER
        if after is not None and (before is None or (after > before if lower else after < before)):
            yield f"{path}: {keyword} {'raised' if lower else 'lowered'} from {before} to {after}"
    for keyword in _EXCLUSIVE:
        if new.get(keyword) and not old.get(keyword):
            yield f"{path}: got {keyword}"


def _rules(old: JsonObject, new: JsonObject, path: str) -> Iterator[str]:
    known = [rule["rule"] for rule in old.get("x-kubernetes-validations", [])]
    for rule in (each["rule"] for each in new.get("x-kubernetes-validations", [])):
        about_new = (
            _is_for_a_new_value(rule, old) or _is_about_new_fields(rule, old) or _is_for_a_new_field(rule, old, new)
        )
        if not about_new and not any(_allows_no_less(rule, before) for before in known):
            yield f"{path}: new or changed rule: {rule}"


def _allows_no_less(rule: str, before: str) -> bool:
    """Whether a rule is the one from before, but for an alternative, or more choices in its lists, such as another metric of a task.

    Lists in our rules name what is allowed, never what is not.
    """
    if rule.startswith(f"{before} || "):
        return True
    lists = zip(_CHOICES.findall(before), _CHOICES.findall(rule), strict=False)
    return _CHOICES.sub("[]", rule) == _CHOICES.sub("[]", before) and all(
        set(old.split(", ")) <= set(new.split(", ")) for old, new in lists
    )


def _is_for_a_new_value(rule: str, old: JsonObject) -> bool:
    """Whether a rule only holds for a value, such as another task, that the release refuses."""
    found = _ONLY_FOR.match(rule)
    if found is None:
        return False
    field, value = (found[1], found[2]) if found[1] else (found[3], found[4])
    for name in field.split("."):
        old = old.get("properties", {}).get(name, {})
    return "enum" in old and value not in old["enum"]


def _is_for_a_new_field(rule: str, old: JsonObject, new: JsonObject) -> bool:
    """Whether a rule only holds where a field is set that the release does not have, and that has no default."""
    found = _ONLY_WITH.fullmatch(rule)
    if found is None:
        return False
    before, after = ({"properties": node.get("properties", {})} for node in (old, new))
    for name in found[1].split("."):
        before, after = (node.get("properties", {}).get(name, {}) for node in (before, after))
    return bool(after) and not before and "default" not in after


def _is_about_new_fields(rule: str, old: JsonObject) -> bool:
    """Whether a rule looks at no field that the release has."""
    looked_at = set(_FIELD.findall(rule))
    return bool(looked_at) and not looked_at & old.get("properties", {}).keys()


def _fields(old: JsonObject, new: JsonObject, path: str) -> Iterator[str]:
    before: dict[str, Any] = old.get("properties", {})
    after: dict[str, Any] = new.get("properties", {})
    for name in new.get("required", []):
        if name not in old.get("required", []):
            yield f"{path}.{name}: is required now"
    for name, field in before.items():
        if name in after:
            yield from _node(field, after[name], f"{path}.{name}")
        else:
            yield f"{path}.{name}: removed"


def _version(name: str) -> tuple[int, ...]:
    return tuple(int(part) for part in name.removeprefix("v").split("."))

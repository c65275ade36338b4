"""Rules that a schema cannot express: each is written once, as the API server checks it and as Python checks it.

The CRD's generator takes the CEL text, `ApiModel` runs the predicate, and both give the same message. See
https://kubernetes.io/docs/reference/using-api/cel/ for the language.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

T = TypeVar("T")


@dataclass(frozen=True)
class Rule(Generic[T]):
    """A rule over the fields of a model, which names it in its `rules`, or over a single value."""

    cel: str
    """What must hold, in CEL; `self` is the model or value as the API server holds it, with defaults filled in."""
    holds: Callable[[T], bool] | None
    """The same in Python. None for a rule about a change (`oldSelf`), which only the API server sees."""
    message: str
    """What is wrong and the remedy."""
    field: str | None = None
    """Path from the model to the field that the API server names before the message, such as `.a.b`."""
    lead: str = ""
    """What Python puts before the message, where the message alone does not name the field."""


def enforce(value: T, *rules: Rule[T]) -> T:
    """Return the value if every rule holds.

    Raises:
        PydanticCustomError: The message of the first rule that does not hold; those of all are in its context, as `messages`.
    """
    broken = [rule.lead + rule.message for rule in rules if rule.holds is not None and not rule.holds(value)]
    if broken:
        raise PydanticCustomError("rule", "{message}", {"message": broken[0], "messages": broken})
    return value


def validations(*rules: Rule[Any]) -> JsonDict:
    """Return the part of a CRD's schema that holds the rules of one node."""
    return {"x-kubernetes-validations": [_on_the_wire(rule) for rule in rules]} if rules else {}


def _on_the_wire(rule: Rule[Any]) -> JsonDict:
    wire: JsonDict = {"rule": rule.cel, "message": rule.message}
    return {**wire, "fieldPath": rule.field} if rule.field else wire

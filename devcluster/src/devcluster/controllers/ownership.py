"""The garbage collector's decision about one object: a pure function of its owners and dependents."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from devcluster.client import Object

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"

Propagation = Literal["Foreground", "Background", "Orphan"]


class OwnerState(Enum):
    """The state of the owner that a reference names, identified by uid and not by name alone."""

    SOLID = "there"
    WAITING = "being deleted, and waits for its dependents"
    ABSENT = "not there"


@dataclass(frozen=True)
class Decision:
    """The actions on one object; none by default.

    Attributes:
        delete: the propagation policy to delete it with.
        references: the ownerReferences to write.
        finish: the finalizer to remove, since its dependents are done.
        dependents: what to do first with the objects that it owns.
    """

    delete: Propagation | None = None
    references: tuple[Object, ...] | None = None
    finish: str | None = None
    dependents: Literal["delete", "orphan"] | None = None


def owner_references(obj: Object) -> list[Object]:
    return list(obj["metadata"].get("ownerReferences") or [])


def has_finalizer(obj: Object, finalizer: str) -> bool:
    return finalizer in (obj["metadata"].get("finalizers") or [])


def waits_for_dependents(obj: Object) -> bool:
    """Return whether an object is being deleted in the foreground."""
    return bool(obj["metadata"].get("deletionTimestamp")) and has_finalizer(obj, FOREGROUND)


def decide(obj: Object, owners: Mapping[str, OwnerState], dependents: Sequence[Object]) -> Decision:
    """Decide about one object.

    Args:
        obj: the object.
        owners: the state of each owner that its ownerReferences name, by uid.
        dependents: the objects that name this one as an owner.
    """
    uid = obj["metadata"]["uid"]
    if obj["metadata"].get("deletionTimestamp"):
        if has_finalizer(obj, ORPHAN):
            return Decision(dependents="orphan") if dependents else Decision(finish=ORPHAN)
        if has_finalizer(obj, FOREGROUND):
            return _foreground(uid, dependents)
        return Decision()
    references = owner_references(obj)
    solid = [reference for reference in references if owners[reference["uid"]] is OwnerState.SOLID]
    if not references or len(solid) == len(references):
        return Decision()
    if solid:
        return Decision(references=tuple(solid))
    if dependents and OwnerState.WAITING in owners.values():
        return Decision(delete="Foreground")
    if has_finalizer(obj, ORPHAN):
        return Decision(delete="Orphan")
    return Decision(delete="Foreground" if has_finalizer(obj, FOREGROUND) else "Background")


def _foreground(uid: str, dependents: Sequence[Object]) -> Decision:
    blocking = [
        dependent
        for dependent in dependents
        for reference in owner_references(dependent)
        if reference["uid"] == uid and reference.get("blockOwnerDeletion")
    ]
    return Decision(dependents="delete") if blocking else Decision(finish=FOREGROUND)

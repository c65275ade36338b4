"""Warnings of Kubernetes about a job's objects, and what is asked of them."""

from dataclasses import dataclass
from datetime import datetime

from finetune_api.base import JsonObject
from finetune_api.reasons import Reason
from finetune_operator.job.observation import Cause

_VAGUE = ("Unable to attach or mount volumes", "Error: ")
"""What kubelet also says of a mount or a container that fails, after it has said why."""


@dataclass(frozen=True)
class Subject:
    """An object that a Warning may be about."""

    kind: str
    name: str
    uid: str = ""
    """Empty where only the name is known, as of a claim that somebody else makes."""
    field: str = ""
    """The field of the spec that decides about it, if one does."""


@dataclass(frozen=True)
class Warned:
    """One Warning: what it is about and says, when it last came, and how often it has."""

    subject: Subject
    cause: Cause
    seen: datetime
    times: int = 1


@dataclass(frozen=True)
class WarningQuery:
    """Whose Warnings explain why a job waits, and which of them count."""

    subjects: tuple[Subject, ...]
    since: datetime
    """Older ones are about something that is over."""
    over: frozenset[str] = frozenset()
    """Reasons that cannot hold any more."""
    begins: str = ""
    """What the message begins with."""


def newest_answer(query: WarningQuery, warnings: list[Warned]) -> Cause | None:
    """The newest of the Warnings that count, with how often it came."""
    counting = [
        each
        for each in warnings
        if each.seen >= query.since
        and each.cause.reason not in query.over
        and each.cause.message.startswith(query.begins)
    ]
    # Of two that alternate the one that says what it is about.
    newest = max(counting, key=lambda each: (not each.cause.message.startswith(_VAGUE), each.seen), default=None)
    if newest is None:
        return None
    about = newest.subject
    named = f"claim {about.name} ({about.field}): " if about.field else ""
    return Cause(newest.cause.reason, named + newest.cause.message, newest.times)


def why_unbound(subject: Subject, claim: JsonObject) -> Cause | None:
    """What the claim itself shows, where nothing warns of it."""
    spec, status = claim.get("spec") or {}, claim.get("status") or {}
    if status.get("phase") == "Bound" or spec.get("storageClassName"):
        return None
    why = "it names no StorageClass, and the cluster has no default one"
    return Cause(Reason.PROVISIONING_FAILED, f"claim {subject.name} ({subject.field}): {why}")

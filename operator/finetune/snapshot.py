"""A FineTuneJob as the cluster has it, read without trust: whatever is in the object, it can be shown."""

import contextlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from pydantic import ValidationError

from finetune_api.base import JsonObject
from finetune_api.printable import printable
from finetune_api.status import FineTuneJobStatus
from finetune_api.values import sane

ENDED: Final = ("Succeeded", "Failed")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, repr=False)
class Snapshot:
    """A job at one time."""

    namespace: str
    name: str
    uid: str
    created: datetime
    status: FineTuneJobStatus
    deleting: bool = False
    raw: JsonObject = field(compare=False, default_factory=dict)
    """The object as the API server sent it."""

    def __repr__(self) -> str:
        """Return name and phase: the status fills screens."""
        return f"<FineTuneJob {self.namespace}/{self.name}: {self.phase}>"

    @property
    def phase(self) -> str:
        """Its phase; "Pending" as long as no operator has seen it, or has not seen that another run is asked for."""
        return "Pending" if self.status.phase is None or self.wants_new_run else self.status.phase

    @property
    def ended(self) -> bool:
        """Whether the present run has ended for good."""
        return self.phase in ENDED

    @property
    def wants_new_run(self) -> bool:
        """Whether `spec.runToken` asks for a run that has not begun."""
        token, run = self.spec.get("runToken"), self.status.run
        return token is not None and run is not None and token != run.token

    @property
    def reason(self) -> str:
        """Why it is so, in a word of `finetune_api.reasons`; "" before an operator has seen it."""
        if self.phase == "Failed" and self.status.failure is not None:
            return self.status.failure.reason
        return next((each.reason for each in self.status.conditions if each.type == "Ready"), "")

    @property
    def spec(self) -> JsonObject:
        """The spec, unchecked."""
        spec = self.raw.get("spec")
        return spec if isinstance(spec, dict) else {}


def read_snapshot(raw: JsonObject) -> Snapshot:
    """Read the object. A field of the status that cannot be read is left out, the rest is kept."""
    metadata = raw.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    return Snapshot(
        namespace=printable(str(metadata.get("namespace", ""))),
        name=printable(str(metadata.get("name", ""))),
        uid=str(metadata.get("uid", "")),
        created=_time(metadata.get("creationTimestamp")),
        status=_status(raw.get("status")),
        deleting="deletionTimestamp" in metadata,
        raw=raw,
    )


def _time(text: object) -> datetime:
    try:
        return sane(datetime.fromisoformat(str(text))) or _EPOCH
    except ValueError:
        return _EPOCH


def _status(raw: object) -> FineTuneJobStatus:
    if not isinstance(raw, dict):
        return FineTuneJobStatus()
    with contextlib.suppress(ValidationError):
        return FineTuneJobStatus.model_validate(raw)
    readable = {}
    for name, value in raw.items():
        with contextlib.suppress(ValidationError):
            FineTuneJobStatus.model_validate({name: value})
            readable[name] = value
    return FineTuneJobStatus.model_validate(readable)

"""A FineTuneJob as the cache keeps it: what is read of it, packed, and beside that what is asked of all jobs at once."""

from typing import Final

from finetune_api.base import JsonObject
from finetune_operator.job.budget import month_used
from finetune_operator.job.finetunejob import TERMINAL
from finetune_operator.job.names import UNREADABLE
from finetune_operator.kube.packed import PACKED, pack

STANDING: Final = "standing"
"""The key of phase and reason in short, such as "Failed ColumnNotFound"; "" before the first status."""
MONTH_USED: Final = "monthUsed"
"""The key of what `month_used` returns."""
NEEDS: Final = "needs"
"""The key of what its status lacks: SPEC_UNSEEN, NO_PROFILE, or nothing, which is ""."""
SPEC_UNSEEN: Final = "spec"
"""The status is not about the present spec: the job is new, or was edited."""
NO_PROFILE: Final = "profile"
"""The job goes on, and has no profile yet."""
_METADATA = ("namespace", "name", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp")


def packed_job(raw: JsonObject) -> JsonObject:
    """The object in that form. One that has it is returned as it is."""
    if PACKED in raw:
        return raw
    kept, standing = trim_finetunejob(raw), _standing(raw)
    return {**pack(kept), STANDING: standing, MONTH_USED: month_used(raw), NEEDS: _needs(raw)}


def trim_finetunejob(raw: JsonObject) -> JsonObject:
    """The part of a FineTuneJob that a cache keeps: what `parse_finetunejob` reads. Its annotations may hold all of it again."""
    metadata = {name: raw["metadata"][name] for name in _METADATA if name in raw["metadata"]}
    return {"metadata": metadata, **{name: raw[name] for name in ("spec", "status", UNREADABLE) if name in raw}}


def _standing(raw: JsonObject) -> str:
    """See STANDING; of whatever an API server can hold."""
    status = raw.get("status")
    if not isinstance(status, dict):
        return ""
    conditions = status.get("conditions")
    ready = [
        str(each.get("reason"))
        for each in (conditions if isinstance(conditions, list) else ())
        if isinstance(each, dict) and each.get("type") == "Ready"
    ]
    return " ".join([str(status.get("phase")), *ready[:1]])


def _needs(raw: JsonObject) -> str:
    """See NEEDS; of whatever an API server can hold."""
    status = raw.get("status")
    if not isinstance(status, dict) or status.get("observedGeneration") != raw["metadata"].get("generation"):
        return SPEC_UNSEEN
    return "" if status.get("profile") or status.get("phase") in TERMINAL else NO_PROFILE

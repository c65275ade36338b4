"""Who owns an object: by apiVersion, kind, name and uid, all four. Nothing that another made is ever adopted or overwritten.

Anyone may put any label and any owner reference on an object of theirs. A controller or the garbage collector takes a false
reference away only after seconds, and one of an apiVersion that does not exist never.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from finetune_api.base import JsonObject
from finetune_api.reasons import Reason
from finetune_api.v1alpha1 import API_VERSION, KIND
from finetune_api.well_known import LABEL_JOB_UID, LABEL_RUN
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.job.names import ANNOTATION_INSTALLATION, job_names
from finetune_operator.job.observation import Cause

_JOB_API_VERSION = "batch/v1"
_JOB_KIND = "Job"
_INSTALLATION = re.compile(r"[a-z0-9.-]{1,63}/[a-z0-9.-]{1,253}")
"""A namespace and the name of a Secret there. Whoever may create Jobs can write anything."""


@dataclass(frozen=True)
class Owner:
    """An object that controls others of its namespace."""

    api_version: str
    kind: str
    name: str
    uid: str


def controller(raw: JsonObject) -> Owner | None:
    """The object that controls this one, as its owner reference has it."""
    for each in raw["metadata"].get("ownerReferences") or ():
        if each.get("controller"):
            return Owner(each.get("apiVersion", ""), each.get("kind", ""), each.get("name", ""), each.get("uid", ""))
    return None


def finetunejob_as_owner(name: str, uid: str) -> Owner:
    """A FineTuneJob as the owner of its children."""
    return Owner(API_VERSION, KIND, name, uid)


def job_as_owner(name: str, uid: str) -> Owner:
    """A batch/v1 Job as the owner of its pods."""
    return Owner(_JOB_API_VERSION, _JOB_KIND, name, uid)


def is_ours(raw: JsonObject, finetunejob: FineTuneJob) -> bool:
    """Whether we made the object for this FineTuneJob."""
    return controller(raw) == finetunejob_as_owner(finetunejob.name, finetunejob.uid)


def run_of(raw: JsonObject) -> int:
    """The number of the run that an object is for, by its label; 0 for no number."""
    number = (raw["metadata"].get("labels") or {}).get(LABEL_RUN, "1")
    return int(number) if number.isdecimal() else 0


def is_of_our_job(pod: JsonObject, finetunejob: FineTuneJob) -> bool:
    """Whether a Job controls the pod that has the name of one of this FineTuneJob's, in whichever run. A pod may outlive its Job."""
    owner, run = controller(pod), run_of(pod)
    if owner is None or owner != job_as_owner(owner.name, owner.uid):
        return False
    return owner.name in job_names(finetunejob.name, run)


def is_our_claim(raw: JsonObject, finetunejob: FineTuneJob) -> bool:
    """Whether we made the claim for this FineTuneJob. One that outlives the job has no owner, and only the label."""
    if any((raw.get("spec") or {}).get(field) for field in ("dataSource", "dataSourceRef")):
        return False  # Ours are empty at first.
    if controller(raw) is not None:
        return is_ours(raw, finetunejob)
    return bool((raw["metadata"].get("labels") or {}).get(LABEL_JOB_UID) == finetunejob.uid)


def own_pods(namespace: str, jobs: Collection[Owner], pods: Iterable[JsonObject]) -> list[JsonObject]:
    """Those of the pods that one of these Jobs of the namespace controls."""
    return [pod for pod in pods if controller(pod) in jobs and pod["metadata"]["namespace"] == namespace]


def holds(live: object, wanted: object) -> bool:
    """Whether an object has all that is wanted of it, and may have more, such as what the API server fills in."""
    if isinstance(wanted, dict):
        return isinstance(live, dict) and all(name in live and holds(live[name], each) for name, each in wanted.items())
    if isinstance(wanted, list):
        return isinstance(live, list) and len(live) == len(wanted) and all(map(holds, live, wanted))
    return live == wanted


def conflict(raw: JsonObject, kind: str, uid: str = "", installation: str = "") -> Cause:
    """Why an object that another made is in the way of the FineTuneJob of this uid. `installation` is the present one."""
    metadata = raw["metadata"]
    what = f"the {kind} {metadata['name']}"
    if (metadata.get("labels") or {}).get(LABEL_JOB_UID, uid) != uid:
        return Cause(Reason.NAME_CONFLICT, f"{what} of an earlier FineTuneJob is still there; waiting for it to go")
    if (other := _installation(metadata)) is not None and other != installation:
        remedy = "let one of the two serve this namespace, or delete that Job to have it run by this one"
        return Cause(
            Reason.NAME_CONFLICT, f"{what} was made by another installation of the operator, {other}: {remedy}"
        )
    return Cause(
        Reason.NAME_CONFLICT, f"{what} is there and was not made for this FineTuneJob: delete or rename one of the two"
    )


def _installation(metadata: JsonObject) -> str | None:
    named = str((metadata.get("annotations") or {}).get(ANNOTATION_INSTALLATION, ""))
    return named if _INSTALLATION.fullmatch(named) else None


def leaving(raw: JsonObject, kind: str) -> Cause:
    """Why an object of ours that is being deleted is in the way: another of its name can be made once it is gone."""
    return Cause(Reason.NAME_CONFLICT, f"the {kind} {raw['metadata']['name']} is being deleted; waiting for it to go")


def changed(raw: JsonObject, kind: str) -> Cause:
    """Why an object of ours that never changes, and holds something else now, is in the way."""
    what = f"the {kind} {raw['metadata']['name']}"
    return Cause(
        Reason.CONFIG_CHANGED,
        f"{what} holds something else than this FineTuneJob asks for: delete it, and it is made again",
    )

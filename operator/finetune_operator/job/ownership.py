"""Whose an object is. Nothing that another made is ever adopted or overwritten."""

from finetune_api.base import JsonObject
from finetune_api.v1alpha1 import GROUP, KIND
from finetune_operator.job.finetunejob import Key
from finetune_operator.job.names import LABEL_INDEX, LABEL_JOB_UID
from finetune_operator.job.observation import Cause
from finetune_operator.kube.client import JOBS, PODS, Kind, Kube
from finetune_operator.kube.informer import Informer


def controller(raw: JsonObject) -> JsonObject | None:
    """The owner reference of the object's controller."""
    owners: list[JsonObject] = raw["metadata"].get("ownerReferences") or []
    return next((owner for owner in owners if owner.get("controller")), None)


def is_ours(raw: JsonObject, uid: str) -> bool:
    """Whether we made the object for the FineTuneJob of this uid. A claim that outlives the job has only the label."""
    owner = controller(raw)
    if owner is not None:
        return bool(owner["uid"] == uid)
    return bool((raw["metadata"].get("labels") or {}).get(LABEL_JOB_UID) == uid)


def own_pods(job_name: str, pods: list[JsonObject]) -> list[JsonObject]:
    """Those of the pods with our label that this Job of ours controls: anyone may put a label on a pod."""
    return [pod for pod in pods if (owner := controller(pod)) and owner["kind"] == "Job" and owner["name"] == job_name]


def conflict(raw: JsonObject, kind: str) -> Cause:
    """Why an object that another made is in the way."""
    metadata = raw["metadata"]
    what = f"the {kind} {metadata['name']}"
    if LABEL_JOB_UID in (metadata.get("labels") or {}):
        return Cause("NameConflict", f"{what} of an earlier FineTuneJob is still there; waiting for it to go")
    return Cause(
        "NameConflict", f"{what} is there and was not made for this FineTuneJob: delete or rename one of the two"
    )


class PodOwners:
    """Finds the FineTuneJob that a pod speaks for, by the owner references: pod → Job → FineTuneJob, each by its uid.

    Of the pods that train together only the first one speaks.
    """

    def __init__(self, kube: Kube, jobs: Informer, pods: Informer) -> None:
        self._kube = kube
        self._jobs = jobs
        self._pods = pods

    async def job_of_pod(self, namespace: str, pod_name: str, pod_uid: str) -> tuple[str, str] | None:
        """See `finetune_operator.reports.server.PodLookup`."""
        pod = await self._find(self._pods, PODS, namespace, pod_name, pod_uid)
        job_ref = controller(pod) if pod else None
        if pod is None or job_ref is None or job_ref.get("kind") != "Job" or not _is_first(pod):
            return None
        job = await self._find(self._jobs, JOBS, namespace, job_ref["name"], job_ref["uid"])
        owner = controller(job) if job else None
        if owner is None or owner.get("kind") != KIND or not owner.get("apiVersion", "").startswith(f"{GROUP}/"):
            return None
        return namespace, owner["name"]

    async def _find(self, cache: Informer, kind: Kind, namespace: str, name: str, uid: str) -> JsonObject | None:
        cached = cache.get(namespace, name)
        if cached is not None and cached["metadata"]["uid"] == uid:
            return cached
        live = await self._kube.get(kind, namespace, name)
        return live if live is not None and live["metadata"]["uid"] == uid else None


def _is_first(pod: JsonObject) -> bool:
    return bool((pod["metadata"].get("labels") or {}).get(LABEL_INDEX, "0") == "0")


def key_of_job(raw: JsonObject) -> Key | None:
    """The key of the FineTuneJob that owns a Job."""
    owner = controller(raw)
    return Key(raw["metadata"]["namespace"], owner["name"]) if owner and owner.get("kind") == KIND else None

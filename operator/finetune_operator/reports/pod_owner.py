"""Which FineTuneJob a pod may report for."""

from finetune_api.base import JsonObject
from finetune_api.v1alpha1 import GROUP, KIND
from finetune_operator.job.finetunejob import Key
from finetune_operator.job.names import LABEL_INDEX
from finetune_operator.job.ownership import controller
from finetune_operator.kube.client import JOBS, PODS, Kind, Kube
from finetune_operator.kube.informer import Informer
from finetune_operator.reports.token_review import Caller


class PodOwners:
    """Finds the FineTuneJob of a pod by the owner references: pod → Job → FineTuneJob, each by its uid.

    Of the pods that train together only the first one reports.
    """

    def __init__(self, kube: Kube, jobs: Informer, pods: Informer) -> None:
        self._kube = kube
        self._jobs = jobs
        self._pods = pods

    async def find(self, caller: Caller) -> Key | None:
        """The FineTuneJob that this very pod (by uid) may report for; None if there is none.

        Raises one of `finetune_operator.kube.errors.API_FAILURES` if the API server had to be asked and cannot be.
        """
        pod = await self._find(self._pods, PODS, caller.namespace, caller.pod_name, caller.pod_uid)
        job_ref = controller(pod) if pod else None
        if pod is None or job_ref is None or job_ref.get("kind") != "Job" or not _is_first(pod):
            return None
        job = await self._find(self._jobs, JOBS, caller.namespace, job_ref["name"], job_ref["uid"])
        owner = controller(job) if job else None
        if owner is None or owner.get("kind") != KIND or not owner.get("apiVersion", "").startswith(f"{GROUP}/"):
            return None
        return Key(caller.namespace, owner["name"])

    async def _find(self, cache: Informer, kind: Kind, namespace: str, name: str, uid: str) -> JsonObject | None:
        cached = cache.get(namespace, name)
        if cached is not None and cached["metadata"]["uid"] == uid:
            return cached
        live = await self._kube.get(kind, namespace, name)
        return live if live is not None and live["metadata"]["uid"] == uid else None


def _is_first(pod: JsonObject) -> bool:
    return bool((pod["metadata"].get("labels") or {}).get(LABEL_INDEX, "0") == "0")

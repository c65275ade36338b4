"""Looks up the Jobs of a FineTuneJob and their pods: in the caches, or at the API server. Whose they are is not decided here."""

from collections.abc import Callable
from dataclasses import replace
from typing import assert_never

from kubernetes.aio.client.exceptions import ForbiddenException

from finetune_api.base import JsonObject
from finetune_api.reasons import Reason
from finetune_api.well_known import LABEL_JOB_UID
from finetune_operator.job.claims import claim_of
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.job.found import Found, Question
from finetune_operator.job.observation import Cause
from finetune_operator.job.ownership import controller
from finetune_operator.job.parse_children import trim_job, trim_pod, worth_of_job, worth_of_pod
from finetune_operator.kube.client import JOBS, PODS, PVCS, Kind, Kube
from finetune_operator.kube.errors import api_message
from finetune_operator.kube.informer import Informer
from finetune_operator.kube.object_limit import Worth, is_over_limit, most_informative


class Lookup:
    """Each question is asked here once."""

    def __init__(self, kube: Kube, *, jobs: Informer, pods: Informer) -> None:
        self._kube = kube
        self._jobs = jobs
        self._pods = pods

    def cached(self, finetunejob: FineTuneJob) -> Found:
        """What the caches hold."""
        return Found(self._jobs.labelled(finetunejob.uid), self._pods.labelled(finetunejob.uid))

    async def ask_server(self, question: Question, finetunejob: FineTuneJob, found: Found, *, made: bool) -> Found:
        """What was found, with the API server's answer. Raises API_FAILURES.

        `made` is whether children were made already, without their Job: it was looked up before them, and is not again.
        """
        found = replace(found, asked=found.asked | {question})
        match question:
            case Question.PODS:
                return replace(found, pods=await self._list(PODS, finetunejob, trim_pod, worth_of_pod))
            case Question.FORMER_RUNS:
                jobs = await self._list(JOBS, finetunejob, trim_job, worth_of_job)
                return replace(found, jobs=jobs, pods=await self._list(PODS, finetunejob, trim_pod, worth_of_pod))
            case Question.JOBS:
                return await self._named(finetunejob, found, made=made)
            case _:
                assert_never(question)

    async def _named(self, finetunejob: FineTuneJob, found: Found, *, made: bool) -> Found:
        """The Job that trains, or else the preflight's, or whatever has the name of one; with neither, what is known of the output."""
        names, namespace = finetunejob.names, finetunejob.namespace
        try:
            for name in () if made else (names.job, names.preflight_job):
                raw = await self._kube.get(JOBS, namespace, name)
                if raw is not None:
                    return replace(found, jobs=[raw])
        except ForbiddenException as error:
            # Retried without a word, it would leave the user with nothing but "waiting for a pod".
            return replace(found, jobs=[], forbidden=Cause(Reason.CREATE_FORBIDDEN, api_message(error)))
        claim = claim_of(finetunejob.spec.output.uri or "") if finetunejob.spec else None
        live = await self._kube.get(PVCS, namespace, claim) if claim else None
        is_bound = live is not None and (live.get("status") or {}).get("phase") == "Bound"
        return replace(found, jobs=[], output_bound=is_bound)

    async def _list(
        self,
        kind: Kind,
        finetunejob: FineTuneJob,
        trim: Callable[[JsonObject], JsonObject],
        worth: Worth[JsonObject],
    ) -> list[JsonObject]:
        """The objects with the label of the job, as they are now. Kept is what the caches keep: anybody can put that label on large ones,
        and on any number of them."""
        read = lambda raw: trim(raw) if controller(raw) is not None else None  # noqa: E731
        found: list[JsonObject] = []
        selector = {"labelSelector": f"{LABEL_JOB_UID}={finetunejob.uid}"}
        async for page in self._kube.pages(kind, finetunejob.namespace, read, selector):
            found += page.items
            if is_over_limit(len(found)):
                found = most_informative(found, worth)
        return found

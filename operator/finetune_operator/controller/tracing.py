"""What the traces are told: each pass for a job, each report of its pods, and its deletion."""

from contextlib import AbstractContextManager

from finetune_api.base import JsonObject
from finetune_operator.controller.cache import FineTuneJobs
from finetune_operator.job.finetunejob import Key, parse_status
from finetune_operator.job.names import preflight_job_name
from finetune_operator.job.ownership import controller, run_of
from finetune_operator.job.report import Received
from finetune_operator.kube.informer import Informer
from finetune_operator.traces.stages import Sender
from finetune_operator.traces.traces import Traces


class Tracing:
    """Finds what a trace is about in the caches."""

    def __init__(self, traces: Traces, finetunejobs: FineTuneJobs, pods: Informer) -> None:
        self._traces = traces
        self._finetunejobs = finetunejobs
        self._pods = pods

    def reconciling(self, key: Key) -> AbstractContextManager[None]:
        """A pass for the job, from beginning to end."""
        entry = self._finetunejobs.get(key)
        return self._traces.reconciling(entry.uid if entry else None)

    def reported(self, received: Received) -> None:
        """A report that was taken."""
        entry = self._finetunejobs.get(received.key) if self._traces.on else None
        if entry is not None:
            self._traces.reported(
                Sender(entry.uid, received.pod_name, self._is_preflight(received)),
                received.body.report,
                at=received.time,
                took=received.took,
                attempts=lambda: parse_status(entry.raw.get("status")).attempts,
            )

    def _is_preflight(self, received: Received) -> bool:
        """Whether the pod that reports is the preflight's."""
        pod = self._pods.get(received.key.namespace, received.pod_name)
        job = controller(pod) if pod is not None else None
        return pod is not None and job is not None and job.name == preflight_job_name(received.key.name, run_of(pod))

    def deleted(self, raw: JsonObject) -> None:
        """A FineTuneJob as it was when it was deleted."""
        self._traces.deleted(raw)

    def close(self) -> None:
        """Send what is left, for a short time at the most."""
        self._traces.close()

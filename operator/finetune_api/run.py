"""`run.yaml`, the only file that the trainer reads: in a cluster from an annotation of the pod, on a laptop from the user."""

import hashlib
import json
from typing import Annotated, Final, Literal, Self

from pydantic import Field

from finetune_api.base import ApiModel, JsonObject
from finetune_api.sources import RunOutputUri
from finetune_api.tracking import Tracking
from finetune_api.v1alpha1 import API_VERSION, PROCESSES, FineTuneJobSpec, RunSettings

TERMINATION_GRACE_SECONDS: Final = 120
"""From SIGTERM until Kubernetes kills the pod."""
SAVE_SECONDS: Final = TERMINATION_GRACE_SECONDS - 10
"""From SIGTERM until the trainer kills its processes that still save; the rest is for its final report."""


class JobReference(ApiModel):
    """The FineTuneJob that a run belongs to."""

    namespace: Annotated[str, Field(max_length=63)]
    name: Annotated[str, Field(max_length=253)]
    uid: Annotated[str, Field(max_length=64)]


class RunOutput(ApiModel):
    """Where everything that the run makes goes."""

    uri: RunOutputUri
    """pvc://claim/path, file:///path, s3://, gs:// or az://bucket/path, or hf://org/name: `checkpoints/`, `model/` and `history.jsonl` are written below. On the Hub the model stands at the top of the repository."""


class Reporting(ApiModel):
    """How often to report; where to is in the environment, see `finetune_api.report`."""

    interval_seconds: Annotated[float, Field(gt=0, le=3600)] = 2
    """Least time between two reports, in seconds."""


class RunConfig(RunSettings):
    """One run, as the trainer needs to know it."""

    rules = (*RunSettings.rules, PROCESSES)

    api_version: Literal["finetune.dev/v1alpha1"] = API_VERSION
    kind: Literal["RunConfig"] = "RunConfig"
    job: JobReference | None = None
    """Absent on a laptop."""
    output: RunOutput
    gpus: Annotated[int, Field(ge=0, le=64)] | None = None
    """GPUs that must be there, on each node; 0 trains on the CPU. On a laptop leave it out to use the one that there is, or the CPU."""
    nodes: Annotated[int, Field(ge=1, le=256)] = 1
    """Machines that train together."""
    processes_per_node: Annotated[int, Field(ge=1, le=64)] | None = None
    """Processes on each machine, on the CPU (gpus: 0); on GPUs there is one for each."""
    reporting: Reporting = Reporting()
    tracking: Tracking | None = None

    @classmethod
    def of(cls, spec: FineTuneJobSpec, output: str, job: JobReference | None = None) -> Self:
        """Return the run that a spec asks for: in a cluster and on a laptop the same one.

        Args:
            spec: What a user wrote, with what the profile gives in a cluster.
            output: URI of the place that the run writes to.
            job: The FineTuneJob; None where there is none.
        """
        return cls(
            **{name: getattr(spec, name) for name in RunSettings.model_fields},
            job=job,
            output=RunOutput(uri=output),
            gpus=spec.resources.gpus,
            nodes=spec.resources.nodes,
            processes_per_node=spec.resources.processes_per_node,
            tracking=spec.tracking,
        )

    @property
    def processes(self) -> int:
        """Training processes on each machine."""
        return self.processes_per_node or self.gpus or 1

    def to_file(self) -> JsonObject:
        """Return the content of `run.yaml`, without defaults: a trainer that is older than a field reads it too."""
        return {"apiVersion": self.api_version, "kind": self.kind, **self._changed(set(RunConfig.model_fields))}

    def digest(self) -> str:
        """Return `sha256:…` of the settings that shape the result; a checkpoint only resumes under the same digest.

        Defaults are left out, so that a new field does not keep a newer trainer from resuming. For that, and for
        `to_file`, a default never changes within a version of the API.
        """
        settings = self._changed(set(RunSettings.model_fields))
        return "sha256:" + hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()

    def identity(self) -> JsonObject:
        """Return what makes two runs the same: an output, and each checkpoint in it, is only taken up by the run of it."""
        return {"configDigest": self.digest(), "jobUid": self.job.uid if self.job else None}

    def _changed(self, fields: set[str]) -> JsonObject:
        """Return those of the fields that differ from their defaults, at any depth."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True, include=fields)

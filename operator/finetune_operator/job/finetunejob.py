"""A FineTuneJob, read without trust from the dict that the API server returns."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from pydantic import ValidationError

from finetune_api.base import JsonObject
from finetune_api.profile import ProfileSettings
from finetune_api.status import AppliedProfile, FineTuneJobStatus, Phase, Run
from finetune_api.v1alpha1 import CONTROLLER, FineTuneJobSpec
from finetune_operator.job.names import ChildNames, child_names
from finetune_operator.job.profile import NO_PROFILE, kept_settings
from finetune_operator.job.proof import is_proven
from finetune_operator.job.read_specs import held_to_profile, read_specs
from finetune_operator.job.run import output_uri, present_run
from finetune_operator.job.unknown import unknown_fields

logger = logging.getLogger(__name__)

TERMINAL: tuple[Phase, ...] = ("Succeeded", "Failed")


@dataclass(frozen=True)
class Key:
    """Namespace and name of a FineTuneJob."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class FineTuneJob:
    """A FineTuneJob as the operator reads it."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    generation: int
    created: datetime
    deleting: bool
    spec: FineTuneJobSpec | None
    """What is to run: as the user wrote it, and with what its profile gives, once the job has one. None if the API server
    accepted a spec that this operator cannot read; `problems` explains why."""
    problems: str
    status: FineTuneJobStatus
    names: ChildNames
    """Those of the present run."""
    run: Run
    """The present run."""
    output: str
    """URI of the place that it writes to; empty where the spec cannot be read."""
    others: bool = False
    """Whether another controller runs the job (`spec.managedBy`)."""
    kept: ProfileSettings | None = None
    """What the job keeps of its profile; None before it has one, or if it began before there were profiles."""
    own: FineTuneJobSpec | None = None
    """The spec as the user wrote it; None if it cannot be read, or is not needed any more."""
    unknown: JsonObject = field(default_factory=dict)
    """What its status has that this version does not know; see `unknown_fields`."""
    unproven: bool = False
    """Whether its status names a profile that the operator did not write there, which counts for nothing."""

    @property
    def key(self) -> Key:
        """Its namespace and name."""
        return Key(self.namespace, self.name)

    @property
    def profile(self) -> ProfileSettings:
        """What holds for the job besides its spec."""
        return self.kept or NO_PROFILE

    @property
    def wants_new_run(self) -> bool:
        """Whether `spec.runToken` asks for another run than the present one."""
        return self.spec is not None and not self.deleting and self.spec.run_token not in (None, self.run.token)

    @property
    def terminal(self) -> bool:
        """Whether the run has ended for good: nothing is ever run again, unless another run is asked for."""
        return self.status.phase in TERMINAL


def key_of(raw: JsonObject) -> Key:
    """The key of any namespaced object."""
    return Key(raw["metadata"]["namespace"], raw["metadata"]["name"])


def parse_finetunejob(
    raw: JsonObject, keys: Sequence[bytes] | None = None, before: FineTuneJob | None = None
) -> FineTuneJob:
    """Read a FineTuneJob. Never raises on what an API server can hold: see `FineTuneJob.problems`.

    Args:
        raw: The object as the API server returns it.
        keys: By which the operator proves the profile that it writes into a status; one without such a proof counts for
            nothing. None where it does not matter who wrote it.
        before: The same object as it was read earlier. Its spec is taken over where neither that nor the profile has changed.
    """
    metadata = raw["metadata"]
    generation = metadata.get("generation", 1)
    same = before is not None and before.generation == generation
    status, names_a_profile = parse_status(raw.get("status")), _names_a_profile(raw.get("status"))
    others = _is_managed_by_another(raw.get("spec"))
    number = status.run.number if status.run else 1
    names = child_names(metadata["name"], metadata["uid"], number)
    applied = status.profile
    if applied is not None and keys is not None and not is_proven(applied, metadata["uid"], number, keys):
        applied = None
    unproven = keys is not None and applied is None and names_a_profile
    if unproven:
        status = status.model_copy(update={"profile": None})
    kept = kept_settings(applied) if applied else None
    if before is not None and same and before.kept == kept:
        own, spec, problems = before.own, before.spec, before.problems
    else:
        own, spec, problems = read_specs(raw, kept, before.own if before is not None and same else None)
    run = present_run(status, generation, spec.run_token if spec else None)
    return FineTuneJob(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        generation=generation,
        created=datetime.fromisoformat(metadata["creationTimestamp"]),
        deleting="deletionTimestamp" in metadata,
        spec=spec,
        problems=problems,
        status=status,
        names=names,
        run=run,
        own=own,
        output=_output(spec, names, run, metadata["uid"]),
        others=others,
        kept=kept,
        unknown=unknown_fields(raw.get("status"), FineTuneJobStatus),
        unproven=unproven,
    )


def given_profile(finetunejob: FineTuneJob, applied: AppliedProfile) -> FineTuneJob:
    """The FineTuneJob as `parse_finetunejob` reads it once its status names this profile, which the operator has proven."""
    spec, problems, kept = finetunejob.spec, finetunejob.problems, kept_settings(applied)
    if finetunejob.own is not None and kept is not None:
        spec, problems = held_to_profile(finetunejob.own, kept, finetunejob.namespace, finetunejob.name)
    return replace(
        finetunejob,
        status=finetunejob.status.model_copy(update={"profile": applied}),
        kept=kept,
        spec=spec,
        problems=problems,
        output=_output(spec, finetunejob.names, finetunejob.run, finetunejob.uid),
        unproven=False,
    )


def _output(spec: FineTuneJobSpec | None, names: ChildNames, run: Run, uid: str) -> str:
    return output_uri(spec.output.uri, names.claim, run.number, uid) if spec else ""


def _names_a_profile(status: object) -> bool:
    # Also one that cannot be read.
    return isinstance(status, dict) and bool(status.get("profile"))


def _is_managed_by_another(spec: object) -> bool:
    # Also of a spec that this operator cannot read as a whole.
    controller = spec.get("managedBy") if isinstance(spec, dict) else None
    return controller not in (None, CONTROLLER)


def parse_status(raw: object) -> FineTuneJobStatus:
    """Read a status that anyone may have edited: a field that cannot be read is left out, and so written again."""
    if not isinstance(raw, dict):
        return FineTuneJobStatus()
    try:
        return FineTuneJobStatus.model_validate(raw)
    except ValidationError as error:
        unreadable = {str(problem["loc"][0]) for problem in error.errors() if problem["loc"]}
        logger.warning("left out of a status, since it cannot be read: %s", ", ".join(sorted(unreadable)))
        return FineTuneJobStatus.model_validate({name: value for name, value in raw.items() if name not in unreadable})

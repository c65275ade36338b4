"""What a phase is decided from, gathered before anything is decided."""

from dataclasses import dataclass
from datetime import datetime

from finetune_api.report import TrainerState
from finetune_api.status import FineTuneJobStatus
from finetune_api.v1alpha1 import FineTuneJobSpec
from finetune_operator.job.observation import Observation, PodState, Terminated
from finetune_operator.status.failures.disruptions import Lost, find_lost, next_loss
from finetune_operator.status.failures.why_failed import root_cause
from finetune_operator.status.stalls.hearing import Unheard, unheard
from finetune_operator.status.stalls.movement import Silence, silence
from finetune_operator.status.waiting.why_waiting import Waiting, why_waiting


@dataclass(frozen=True)
class Facts:
    """One stage of a job, its preflight or its training, as it is now."""

    spec: FineTuneJobSpec
    """That of the stage: see `preflight_spec`."""
    before: FineTuneJobStatus
    """The status of the job until now."""
    observed: Observation
    """That of the stage."""
    known: TrainerState
    """What its pods have reported."""
    lost: Lost | None
    """The first pod of those that are to train together now whose node does not answer."""
    until_lost: float | None
    """Seconds until one may be lost by nothing but the time that passes."""
    waits: Waiting
    """What it waits for, if it waits."""
    failed: tuple[PodState, Terminated] | None
    """The pod that failed first of those that are to train together now, and how."""
    unheard: Unheard | None
    """Since when no report has come of the pod that is to report."""
    still: Silence | None
    """Since when the training has made no step."""
    now: datetime


def gather_facts(
    spec: FineTuneJobSpec, before: FineTuneJobStatus, observed: Observation, known: TrainerState, now: datetime
) -> Facts:
    """What is known of the stage whose part of the job's spec `spec` is."""
    lost = find_lost(observed, now)
    return Facts(
        spec=spec,
        before=before,
        observed=observed,
        known=known,
        lost=lost,
        until_lost=next_loss(observed, now),
        waits=why_waiting(observed, spec, lost),
        failed=root_cause(observed.newest),
        unheard=unheard(observed, before, spec.resources.nodes),
        still=silence(spec, known.progress, observed, before),
        now=now,
    )

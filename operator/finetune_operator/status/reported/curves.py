"""Which points of the curves that the status has still hold, and what a report adds to them."""

import math

from finetune_api.curves import Curves
from finetune_api.reasons import Reason
from finetune_api.report import FinalReport, TrainerState
from finetune_api.thinning import join

_WENT_BACK = (Reason.CUDA_OUT_OF_MEMORY, Reason.OTHER_PROCESSES)
"""Adjustments with which a run goes on from a checkpoint."""


def reported_curves(known: TrainerState, reported: TrainerState) -> Curves | None:
    """The curves after a report: it holds all of them, also when there are none yet. Trainers of before report none."""
    if reported.curves is None:
        return known.curves
    return reported.curves if reported.curves != Curves() else None


def final_curves(known: TrainerState, final: FinalReport, *, heard: bool) -> Curves | None:
    """The curves after a final report, whose own have few points: the status keeps its own up to where the run went back to.

    Args:
        heard: Whether the pod has reported before: then the curves that are known are of this attempt.
    """
    went_back = [
        each.step - 1 for each in final.adjustments if each.reason in _WENT_BACK and each not in known.adjustments
    ]
    if not heard and final.resumed_from_step is not None:
        went_back.append(final.resumed_from_step)
    if known.curves is None or (final.curves is None and not went_back):
        return reported_curves(known, final)
    joined = join(known.curves, final.curves or Curves(), min(went_back, default=math.inf))
    return joined if joined != Curves() else None

"""How large a status may become by what is reported: a pod may send 64 KiB each second, and etcd keeps what is written."""

from collections.abc import Callable, Mapping
from typing import Final

from finetune_api.curves import MAX_CURVES_BYTES
from finetune_api.report import TrainerState
from finetune_api.thinning import shrink

MAX_REPORTED_BYTES: Final = 20 * 1024
"""More than the trainer ever reports: 20 evaluations and 20 checkpoints with 8 metrics each."""

_SHORTER: Final[tuple[Callable[[TrainerState], Mapping[str, object]], ...]] = (
    lambda state: {"curves": state.curves and shrink(state.curves, MAX_CURVES_BYTES // 2)},
    lambda state: {"evaluations": state.evaluations[-5:]},
    lambda state: {"checkpoints": [each.model_copy(update={"metrics": []}) for each in state.checkpoints]},
    lambda state: {"curves": state.curves and shrink(state.curves, MAX_CURVES_BYTES // 4)},
    lambda state: {"preflight": None},
    lambda state: {"metrics": state.metrics[:8], "evaluations": state.evaluations[-1:]},
    lambda state: {"warnings": state.warnings[:3], "adjustments": state.adjustments[-2:], "curves": None},
    lambda state: {"checkpoints": state.checkpoints[-2:], "provenance": None},
)
"""What matters least comes first."""


def fit(state: TrainerState) -> TrainerState:
    """Return the state without what matters least, until it fits into MAX_REPORTED_BYTES."""
    for shorten in _SHORTER:
        if len(state.model_dump_json(by_alias=True, exclude_none=True).encode()) <= MAX_REPORTED_BYTES:
            break
        state = state.model_copy(update=shorten(state))
    return state

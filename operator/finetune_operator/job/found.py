"""What was found of a FineTuneJob's Jobs and pods, as the API has them, and what can be asked where the caches do not suffice."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from finetune_api.base import JsonObject
from finetune_operator.job.observation import Cause


class Question(Enum):
    """What the API server is asked, for a cache is trusted for what it holds, and never for what it does not."""

    PODS = auto()
    """How the pods are now: what a cache holds of one may be from before its end."""
    FORMER_RUNS = auto()
    """Which Jobs and pods there are of former runs."""
    JOBS = auto()
    """Whether a preflight is to be made: there may be one, or the Job that trains, or what another made under either name."""


@dataclass(frozen=True)
class Found:
    """Jobs and pods with the label of a FineTuneJob. Anybody may have put it there."""

    jobs: Sequence[JsonObject]
    pods: Sequence[JsonObject]
    asked: frozenset[Question] = frozenset()
    """What of it the API server was asked in this pass."""
    forbidden: Cause | None = None
    """Why it did not answer, if rights are missing."""
    output_bound: bool = False
    """Whether the claim of the output is bound to a volume; asked for with JOBS where there is none."""

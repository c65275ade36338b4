"""What a tracker is to the rest of the trainer: a place that knows by itself which points it has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from finetune_trainer.progress.history import Measured, Sent

Outcome: TypeAlias = Literal["finished", "failed", "stopped"]
"""How an attempt ends; one that was stopped goes on later."""


@dataclass(frozen=True)
class Description:
    """What a tracker is told of the run."""

    id: str
    """The same for each attempt of the run, and for no other run."""
    title: str
    parameters: Mapping[str, str]
    """The settings, by names such as training.learningRate."""
    tags: Mapping[str, str]


class TrackerFailure(Exception):
    """The tracker did not take something; the message says why, for people, without what it answered word for word."""


class Tracker(Protocol):
    """One run at a tracker. Its methods are called by one thread, may take long, and may raise anything: they are tried again."""

    name: str

    def open(self) -> Sent:
        """Begin the run, or go on in it. Returns which points it has. Also called after each failure, since what arrived is not known then."""

    @property
    def url(self) -> str | None:
        """Where people find the run, once it is open."""

    def send(self, points: Sequence[Measured]) -> None:
        """Log points, oldest first. They have arrived when this returns."""

    def finish(self, outcome: Outcome) -> None:
        """Log how the attempt ended."""

"""What a pod may report of places: those below its own job's output, and its runs at the trackers that the job names. Anybody may be sent where a status points to."""

import re
from dataclasses import dataclass, replace
from operator import is_
from typing import TypeVar

from finetune_api.report import TrainerState
from finetune_api.status import TrackedRun
from finetune_operator.job.observation import Observation, PodState

# Neither `..`, nor an escape for one, nor a query: names as the trainer and Hugging Face give them.
_BELOW = re.compile(r"(/[A-Za-z0-9_][A-Za-z0-9._=+-]*)*")

# As trackers write the pages of runs: those of MLflow begin with #, those of trackio name a project.
_PAGE = re.compile(r"(/#)?(/[A-Za-z0-9_][A-Za-z0-9._-]*)*|/\?project=[A-Za-z0-9_-]+")

_State = TypeVar("_State", bound=TrainerState)


@dataclass(frozen=True)
class Places:
    """Where what a job makes lies."""

    output: str
    """URI of its output."""
    trackers: tuple[str, ...] = ()
    """URLs of its tracking servers."""

    def has(self, run: TrackedRun) -> bool:
        """Whether a tracked run is at one of the trackers, or in the output."""
        url = run.url or ""
        pages = (url.startswith(f"{each}/") and _PAGE.fullmatch(url, len(each)) for each in self.trackers)
        return run.url is None or is_below(url, self.output) or any(pages)


def is_below(uri: str, output: str) -> bool:
    """Whether `uri` is `output` or lies below it, compared by whole segments of the path."""
    root = output.rstrip("/")
    return uri.startswith(root) and _BELOW.fullmatch(uri, len(root)) is not None


def with_own_places(observed: Observation, places: Places) -> Observation:
    """The observation without the places that its pods reported and that are not among `places`."""
    pods = tuple(_own(pod, places) for pod in observed.pods)
    preflight = with_own_places(observed.preflight, places) if observed.preflight is not None else None
    if preflight is observed.preflight and all(map(is_, pods, observed.pods)):
        return observed
    return replace(observed, pods=pods, preflight=preflight)


def _own(pod: PodState, places: Places) -> PodState:
    report, final, foreign = pod.report, pod.final, list[str]()
    if report is not None and report.body.report is not None:
        own, foreign = _keep_own(report.body.report, places)
        report = replace(report, body=report.body.model_copy(update={"report": own}))
    if final is not None:
        final, elsewhere = _keep_own(final, places)
        foreign = [*foreign, *elsewhere]
    return replace(pod, report=report, final=final, foreign=foreign[0]) if foreign else pod


def _keep_own(reported: _State, own_places: Places) -> tuple[_State, list[str]]:
    """Return what was reported without the places that are not among `own_places`, and those places."""
    output = own_places.output
    checkpoints = [each for each in reported.checkpoints if is_below(each.uri, output)]
    best, model = reported.best_checkpoint, reported.model
    own = {
        "checkpoints": checkpoints,
        "best_checkpoint": best if best and is_below(best.uri, output) else None,
        "model": model if model and is_below(model.uri, output) else None,
        "log": reported.log if reported.log and is_below(reported.log, output) else None,
        "tracking": [
            each if own_places.has(each) else each.model_copy(update={"url": None}) for each in reported.tracking
        ],
    }
    places = [each.uri for each in (*reported.checkpoints, best, model) if each is not None]
    places += [reported.log] if reported.log else []
    foreign = [place for place in places if not is_below(place, output)]
    foreign += [each.url for each in reported.tracking if each.url and not own_places.has(each)]
    return reported.model_copy(update=own) if foreign else reported, foreign

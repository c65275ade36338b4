"""What a pod may report of places: those below its own job's output. Anybody may be sent where a status points to."""

import re
from typing import TypeVar

from finetune_api.report import TrainerState

# Neither `..`, nor an escape for one, nor a query: names as the trainer and Hugging Face give them.
_BELOW = re.compile(r"(/[A-Za-z0-9_][A-Za-z0-9._=+-]*)*")

_State = TypeVar("_State", bound=TrainerState)


def is_below(uri: str, output: str) -> bool:
    """Whether `uri` is `output` or lies below it, compared by whole segments of the path."""
    root = output.rstrip("/")
    return uri.startswith(root) and _BELOW.fullmatch(uri, len(root)) is not None


def keep_own_places(reported: _State, output: str) -> tuple[_State, list[str]]:
    """Return what was reported without the places that are not below `output`, and those places."""
    checkpoints = [each for each in reported.checkpoints if is_below(each.uri, output)]
    best, model = reported.best_checkpoint, reported.model
    own = {
        "checkpoints": checkpoints,
        "best_checkpoint": best if best and is_below(best.uri, output) else None,
        "model": model if model and is_below(model.uri, output) else None,
        "log": reported.log if reported.log and is_below(reported.log, output) else None,
    }
    places = [each.uri for each in (*reported.checkpoints, best, model) if each is not None]
    places += [reported.log] if reported.log else []
    foreign = [place for place in places if not is_below(place, output)]
    return reported.model_copy(update=own) if foreign else reported, foreign

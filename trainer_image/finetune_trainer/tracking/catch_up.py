"""Sends the history of a run that has ended to its trackers: `python -m finetune_trainer.tracking.catch_up`, for `finetune track`.

A program of its own, which needs neither torch nor the model nor the data: what a tracker has not got is asked of it, as in a run.
"""

import json
import sys
from pathlib import Path
from typing import Any

from finetune_api.run import RunConfig
from finetune_api.status import Provenance, TrackedRun
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.base.redaction import redact
from finetune_trainer.progress.history import History
from finetune_trainer.storage.credentials import remember_secrets
from finetune_trainer.storage.layout import HISTORY
from finetune_trainer.storage.local_output import LocalOutput
from finetune_trainer.tracking.feed import MOST_POINTS, reason_of
from finetune_trainer.tracking.registry import check_trackers, make_trackers
from finetune_trainer.tracking.tracker import Outcome, Tracker
from finetune_trainer.tracking.tracking import describe, run_id_of


def catch_up(config: RunConfig, folder: Path, outcome: Outcome, provenance: Provenance | None) -> list[TrackedRun]:
    """Send what the trackers have not got of the history in a folder, which also has the run's id. Returns what came of it at each.

    Args:
        config: The run's, with the servers that get the history.
        folder: A copy of what the output has of both files.
        outcome: How the run ended.
        provenance: As the status has it.

    Raises:
        TrainerError, ValueError: There is nothing that could be sent, or no id by which to find the run.
    """
    if config.tracking is None:
        return []
    check_trackers(config.tracking)
    history = History(folder / HISTORY)
    history.resume(sys.maxsize)
    output = LocalOutput(folder.as_uri(), folder)
    run = describe(config, run_id_of(output), provenance)
    return [_send(tracker, history, outcome) for tracker in make_trackers(config.tracking, output, run)]


def _send(tracker: Tracker, history: History, outcome: Outcome) -> TrackedRun:
    message = None
    try:
        sent = tracker.open()
        while points := history.after(sent, MOST_POINTS):
            tracker.send(points)
            sent = sent.with_points(points)
        tracker.finish(outcome)
    except Exception as error:  # noqa: BLE001 - the others get theirs
        message = redact(reason_of(error))[:256]
    return TrackedRun(tracker=tracker.name, url=tracker.url, message=message)


def main() -> None:
    """Read config, folder, outcome and provenance from standard input, and write what came of it to standard output."""
    remember_secrets()
    asked: dict[str, Any] = json.load(sys.stdin)
    provenance = Provenance.model_validate(asked["provenance"]) if asked["provenance"] else None
    try:
        config = RunConfig.model_validate(asked["config"])
        done = catch_up(config, Path(asked["folder"]), asked["outcome"], provenance)
    except (TrainerError, ValueError) as error:
        sys.exit(redact(str(error)))
    sys.stdout.write(json.dumps([run.to_wire() for run in done]))


if __name__ == "__main__":
    main()

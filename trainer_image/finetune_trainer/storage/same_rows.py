"""Whether a run goes on with the rows, and from the model, that it began with: `run.json` has their fingerprints."""

import json
from collections.abc import Callable

from finetune_api.base import JsonObject
from finetune_api.reasons import Reason
from finetune_trainer.base.errors import output_error
from finetune_trainer.base.run_warnings import warn
from finetune_trainer.storage.claim import ROWS
from finetune_trainer.storage.layout import RUN
from finetune_trainer.storage.output import Output


def check_same_rows(output: Output, rows: Callable[[], JsonObject]) -> None:
    """Check that nothing of this run was trained or evaluated on other rows. Warn where it began with another model.

    Args:
        rows: Returns what `claim_output` would be given now. Called only where the run has left it; earlier versions of
            the trainer have not.

    Raises:
        TrainerError: OUTPUT, with what changed.
    """
    marker = output.read_marker(RUN)
    theirs = json.loads(marker).get(ROWS) if marker else None
    if not theirs:
        return
    mine = rows()
    if theirs.get("model", mine["model"]) != mine["model"]:
        warn(
            Reason.MODEL_CHANGED,
            f"{output.uri} holds what this run made of its model at {theirs['model']:.120}, and model.source is at "
            f"{mine['model']:.120} now: what was trained goes on or is done, and an adapter goes on over other weights. To begin with "
            f"the model of now give output.uri another folder, or delete {output.shown(output.path)}",
        )
    if theirs["columns"] != mine["columns"]:  # another version of the trainer, which reads more of them
        return
    changed = [name for name in ("training", "evaluation") if theirs[name] != mine[name]]
    if changed:
        raise output_error(
            Reason.DATA_CHANGED,
            f"{output.uri} holds this run on other data: since it began, the {' and '.join(changed)} rows have changed",
            f"give output.uri another folder, or delete {output.shown(output.path)} to start over; to go on, put the "
            "data back as it was",
        )

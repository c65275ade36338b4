"""Which run an output belongs to: `run.json` names it, and no other run may write there."""

import json

from finetune_api.base import JsonObject
from finetune_api.reasons import Reason
from finetune_trainer.base.errors import output_error
from finetune_trainer.storage.layout import RUN
from finetune_trainer.storage.output import Output

ROWS = "rows"
"""What `run.json` has of the rows beside the identity."""


def check_is_own(output: Output, mine: JsonObject) -> None:
    """Check that the output can be written, which creates it if need be, and belongs to no other run than that whose identity is `mine`.

    Raises:
        TrainerError: OUTPUT when it cannot be written or holds another run; INTERNAL when it cannot be reached.
    """
    output.probe()
    _check_is_free(output, mine)


def claim_output(output: Output, mine: JsonObject, rows: JsonObject | None = None) -> None:
    """Mark the output as that of the run whose identity is `mine`. Only once model and data are good: a mistake shall not cost a folder.

    Args:
        rows: Fingerprints of the rows that are trained and evaluated on, for `same_rows.check_same_rows`.

    Raises:
        TrainerError: OUTPUT when another run was faster.
    """
    text = json.dumps({**mine, ROWS: rows} if rows else mine, indent=2) + "\n"
    _check_is_free(output, mine)
    output.create_marker(RUN, text.encode())
    _check_is_free(output, mine)  # of two that come at the same time one was faster


def _check_is_free(output: Output, mine: JsonObject) -> None:
    marker = output.read_marker(RUN)
    if marker is None:
        theirs = None if output.holds_files() else mine
    else:
        try:
            theirs = json.loads(marker)
        except ValueError:
            theirs = None
        if isinstance(theirs, dict):
            theirs.pop(ROWS, None)
    if theirs != mine:
        raise output_error(
            Reason.OUTPUT_IN_USE,
            f"{output.uri} holds {_owner(theirs, mine)}",
            f"give output.uri another folder, or delete {output.shown(output.path)} if it is not needed any more",
        )


def _owner(theirs: object, mine: JsonObject) -> str:
    if not isinstance(theirs, dict):
        return "files that are not of a run of ours"
    same_settings = theirs.get("configDigest") == mine["configDigest"]
    return "the run of another job" if same_settings else "a run with other settings"

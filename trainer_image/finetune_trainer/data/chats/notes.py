"""Reports what is odd about rows of causal-lm: once for all rows of a kind."""

import logging
from collections.abc import Sequence
from typing import Final

from finetune_api.reasons import Reason
from finetune_trainer.base.run_warnings import warn
from finetune_trainer.data.chats.conversations import role_meant
from finetune_trainer.data.chats.formats import Layout
from finetune_trainer.data.chats.passed_over import END_OF_THOUGHT, THOUGHTS
from finetune_trainer.data.rows import Rows

logger = logging.getLogger(__name__)

NOT_LEARNT: Final = "not learnt"
SYSTEM_TWICE: Final = "system twice"
RENAMED: Final = "renamed"
EMPTY_ANSWER: Final = "says nothing"
EMPTY_QUESTION: Final = "asks nothing"
NULLS: Final = "nulls"
MARK: Final = "mark "
"""With the mark behind it."""
ROLE: Final = "role "
"""With the role behind it."""


def report_notes(rows: Rows, notes: Sequence[Sequence[str]], layout: Layout) -> None:
    """Log or warn of what was noted of rows.

    Args:
        notes: Of each row: constants from above, or what of its chat the model's template passes over in silence.
    """
    for note in sorted({note for row in notes for note in row} - {"", NOT_LEARNT}):
        where = [index for index, row in enumerate(notes) if note in row]
        of_rows = f"split '{rows.split}', {len(where)} rows, the first is {rows.name_row(where[0])}"
        if note == RENAMED:
            logger.info("%s: roles are called as the model's chat template knows them (user, assistant, tool)", of_rows)
        elif note == EMPTY_ANSWER:
            warn(
                Reason.EMPTY_ANSWERS, f"{of_rows}: the assistant says nothing in a turn; the model learns to end there"
            )
        elif note == EMPTY_QUESTION:
            warn(Reason.EMPTY_TEXTS, f"{of_rows}: the user says nothing in a turn; the model learns to answer to that")
        elif note == NULLS:
            warn(
                Reason.NULLS_LEFT_OUT,
                f"{of_rows}: nulls in calls or tools are left out, as Arrow puts them there for keys of other rows; where they "
                "are meant, write arguments and tools as JSON strings",
            )
        elif note.startswith(MARK):
            warn(
                Reason.END_WITHIN_TEXT,
                f"{of_rows}: turns hold {note.removeprefix(MARK)!r}, by which the model's chat template parts turns or texts end: "
                "the model reads it so, also where it is only written about; take it out of what is said",
            )
        elif note.startswith(ROLE):
            role = note.removeprefix(ROLE)
            warn(
                Reason.UNKNOWN_ROLE,
                f"{of_rows}: turns have the role {role!r}, which neither this trainer nor the model's chat template knows: they are "
                f"written as they are, and not learnt. Call roles system, user, assistant and tool{role_meant(role)}",
            )
        elif note == SYSTEM_TWICE:
            column = layout.beside.get("system")
            warn(Reason.SYSTEM_TWICE, f"{of_rows}: the chat's own system turn is taken, and not column '{column}'")
        else:
            warn(Reason.NOT_IN_TEMPLATE, f"{of_rows}: {_PASSED_OVER.get(note, f'turns of {note} are')} {_BY_TEMPLATE}")


_PASSED_OVER: Final = {
    "tools": "tools are",
    "tool_calls": "calls of functions (tool_calls) are",
    END_OF_THOUGHT: f"what turns hold as their content before {END_OF_THOUGHT} is",
    **{field: f"what turns hold as {field} is" for field in THOUGHTS},
}
_BY_TEMPLATE: Final = (
    "not written by the model's chat template, so that the model does not see them, or not all of them; use a model "
    "whose template has them"
)

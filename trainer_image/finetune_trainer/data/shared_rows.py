"""Rows that are evaluated on, and trained on as well: their metrics tell how well a model remembers."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]

from finetune_api.reasons import Reason
from finetune_trainer.base.run_warnings import warn
from finetune_trainer.data.rows import Rows

_MOST = 10_000
"""So many rows to evaluate on are looked for; of more a part that is evenly spread."""
_AT_ONCE = 10_000
_SHARE = 0.2
"""Some texts are the same by chance, such as thanks and greetings."""
_MOST_CHATS = 100_000
"""Of more chats none is looked for: it takes a second for each so many, and texts a hundredth."""
_BETWEEN = pa.scalar("\x1f", pa.large_string())


def warn_of_shared_rows(train: Rows, evaluation: Rows, columns: Sequence[str]) -> None:
    """Warn where many of the rows to evaluate on have the same texts as some that are trained on.

    Args:
        columns: Those that are read, without that of labels. Others than of texts, lists of texts and chats are passed over.
    """
    count = len(evaluation.dataset)
    some = evaluation if count <= _MOST else evaluation.select(np.arange(0, count, -(-count // _MOST)))
    both = [name for name in columns if {name} <= {*train.dataset.column_names} & {*evaluation.dataset.column_names}]
    if not (batches := list(_texts(some, both, len(train.dataset)))):
        return
    looked_for = pa.concat_arrays(batches)
    met = [
        texts.filter(pc.is_in(texts, value_set=looked_for)).unique()
        for texts in _texts(train, both, len(train.dataset))
    ]
    if not met:
        return
    shared = pc.is_in(looked_for, value_set=pa.concat_arrays(met))
    number = pc.sum(shared).as_py() or 0
    if number < _SHARE * len(looked_for):
        return
    first = some.name_row(pc.index(shared, True).as_py())
    warn(
        Reason.ROWS_IN_BOTH,
        f"{number} of {len(looked_for)} rows of split '{evaluation.split}' are also among those of split '{train.split}' that are "
        f"trained on, the first is {first}: metrics tell how well they are remembered. Evaluate on others, as by the slices "
        "train[:90%] and train[90%:], and drop rows that are there twice",
    )


def _texts(rows: Rows, columns: Sequence[str], compared: int) -> Iterator[Any]:
    """All texts of each row in one, batch after batch; nothing where no column holds any.

    Args:
        compared: How many rows they are compared with.
    """
    for table in rows.dataset.select_columns(list(columns)).with_format("arrow").iter(batch_size=_AT_ONCE):
        written = [text for name in columns if (text := _written(table[name].combine_chunks(), compared)) is not None]
        if written:
            yield pc.binary_join_element_wise(*written, _BETWEEN, null_handling="replace")


def _written(values: Any, compared: int) -> Any:
    """A column as text; None where it is of another kind."""
    if isinstance(values.type, pa.BaseExtensionType):  # JSON, as which chats are kept whose turns have different keys
        values = values.storage
    kind = values.type
    if _is_text(kind):
        return values.cast(pa.large_string())
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        if _is_text(kind.value_type):
            return pc.binary_join(values.cast(pa.large_list(pa.large_string())), _BETWEEN)
        if _is_turn(kind.value_type) and compared <= _MOST_CHATS:
            return pa.array(map(str, values.to_pylist()), pa.large_string())
    return None


def _is_turn(kind: Any) -> bool:
    return pa.types.is_struct(kind) or isinstance(kind, pa.BaseExtensionType)


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))

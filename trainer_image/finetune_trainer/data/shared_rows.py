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
_TEXT = pa.large_string()
_BETWEEN = pa.scalar("\x1f", _TEXT)


def warn_of_shared_rows(train: Rows, evaluation: Rows, columns: Sequence[str]) -> None:
    """Warn where many of the rows to evaluate on have the same texts as some that are trained on.

    Args:
        columns: Those that are read, without that of labels. Others than of texts, lists of texts and chats are passed over.
    """
    count = len(evaluation.dataset)
    some = evaluation if count <= _MOST else evaluation.select(np.arange(0, count, -(-count // _MOST)))
    both = [name for name in columns if {name} <= {*train.dataset.column_names} & {*evaluation.dataset.column_names}]
    if _too_many_chats(train, both) or not (batches := list(_texts(some, both))):
        return
    looked_for = _joined(batches)
    met = [texts.filter(pc.is_in(texts, value_set=looked_for)).unique() for texts in _texts(train, both)]
    if not met:
        return
    shared = pc.is_in(looked_for, value_set=pa.chunked_array(met))
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


def _too_many_chats(rows: Rows, columns: Sequence[str]) -> bool:
    """Whether chats are among the columns, and too many to be compared: what stands beside them, such as what the system says, is
    the same in each."""
    types = rows.dataset.select_columns(list(columns)).data.schema.types
    return len(rows.dataset) > _MOST_CHATS and any(not _is_passed_over(kind) and not _is_text(kind) for kind in types)


def _texts(rows: Rows, columns: Sequence[str]) -> Iterator[Any]:
    """All texts of each row in one, batch after batch; nothing where no column holds any."""
    for table in rows.dataset.select_columns(list(columns)).with_format("arrow").iter(batch_size=_AT_ONCE):
        written = [_written(table[name]) for name in columns if not _is_passed_over(table[name].type)]
        if written:
            yield pc.binary_join_element_wise(*written, _BETWEEN, null_handling="replace")


def _written(values: Any) -> Any:
    """A column as text. In chunks, as it is: in one, long texts may be too large for Arrow."""
    if not _is_text(values.type):
        return pa.chunked_array([pa.array(map(str, chunk.to_pylist()), _TEXT) for chunk in values.chunks], _TEXT)
    if isinstance(values.type, pa.BaseExtensionType):
        values = pa.chunked_array([chunk.storage for chunk in values.chunks], values.type.storage_type)
    if _is_list(values.type):
        return pc.binary_join(values.cast(pa.large_list(_TEXT)), _BETWEEN)
    return values.cast(_TEXT)


def _joined(batches: Sequence[Any]) -> Any:
    return pa.chunked_array([chunk for batch in batches for chunk in batch.chunks], _TEXT)


def _is_passed_over(kind: Any) -> bool:
    """Whether it holds numbers, or nothing."""
    inner = kind.value_type if _is_list(kind) else kind
    return bool(pa.types.is_primitive(inner) or pa.types.is_null(inner))


def _is_text(kind: Any) -> bool:
    """Whether it holds texts, lists of them, or JSON, as which chats are kept whose turns have different keys."""
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    inner = kind.value_type if _is_list(kind) else kind
    return bool(pa.types.is_string(inner) or pa.types.is_large_string(inner))


def _is_list(kind: Any) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))

"""Small tables, and what reading them ends with."""

import io
from collections.abc import Callable
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest

from finetune_api.report import ExitCode
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.data.rows import Rows

Read = Callable[..., Rows]


def failure(read: Read, files: dict[str, str | bytes], **settings: Any) -> TrainerError:
    with pytest.raises(TrainerError) as caught:
        read(files, **settings)
    assert caught.value.exit_code == ExitCode.DATA
    return caught.value


def parquet(**columns: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


ROWS = "text,label\na,x\nb,y\n"
LINES = '{"text": "a", "label": "x"}\n{"text": "b", "label": "y"}\n'
READ = {"text": ["a", "b"], "label": ["x", "y"]}

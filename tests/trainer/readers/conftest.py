"""Files of a data set are written, and read as a run reads them."""

from pathlib import Path
from typing import Any

import pytest
from tests.trainer.readers.reading import Read

from finetune_api.sources import Dataset
from finetune_trainer.data.columns import check_columns
from finetune_trainer.data.load_rows import load_rows
from finetune_trainer.data.rows import Rows


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Writes files into a folder of their own and reads it, or the file where there is one; checks columns."""

    def read(files: dict[str, str | bytes], checked: tuple[str, ...] = ("text", "label"), **settings: Any) -> Rows:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
        source = folder if len(files) > 1 else folder / next(iter(files))
        dataset = Dataset(**{"source": f"file://{source}", "train": {"split": "train"}} | settings)
        rows, _ = load_rows(dataset, {})
        check_columns(rows, {column: column for column in checked})
        return rows

    return read

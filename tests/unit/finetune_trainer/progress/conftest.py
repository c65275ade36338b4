from pathlib import Path

import pytest
from tests.unit.finetune_trainer.progress.runs import Run, configure


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path, configure())

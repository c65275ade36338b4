"""The program's options, and what is imported to read them."""

import subprocess
import sys
from pathlib import Path

import pytest

from finetune_trainer.base.errors import TrainerError
from finetune_trainer.settings.command_line import Options, parse_options, parse_volumes


def test_without_a_command_a_run_trains() -> None:
    options = parse_options(["--config", "run.yaml", "--volume", "models=here", "--volume", "data=/there"])

    assert options == Options(
        command="train",
        json=False,
        for_job=False,
        time=False,
        assume=False,
        config=Path("run.yaml"),
        volume=["models=here", "data=/there"],
    )
    assert parse_volumes(options.volume) == {"models": Path("here").absolute(), "data": Path("/there")}


def test_a_job_is_prepared_as_json() -> None:
    options = parse_options(["prepare", "--for-job", "--json", "--time", "--assume", "--config", "run.yaml"])

    assert options == Options(
        command="prepare", json=True, for_job=True, time=True, assume=True, config=Path("run.yaml"), volume=[]
    )


@pytest.mark.parametrize("pair", ["models", "=here", "models="])
def test_a_volume_is_a_claim_and_a_folder(pair: str) -> None:
    with pytest.raises(TrainerError) as caught:
        parse_volumes([pair])

    assert caught.value.message == f"--volume {pair}: must be CLAIM=FOLDER"


@pytest.mark.thorough
def test_settings_are_read_before_torch_is_imported(tmp_path: Path) -> None:
    program = (
        "import sys; from finetune_trainer.__main__ import main; "
        f"code = main(['--config', '{tmp_path}/run.yaml']); "
        "print(code, sorted({'torch', 'transformers', 'datasets'} & set(sys.modules)))"
    )

    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert ended.stdout == "10 []\n"

"""Processes prove the run's secret over each connection of gloo before anything else is sent by it."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from tests.trainer.crowd import CONTEXT

from finetune_api.report import ENV_RUN_SECRET
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.processes.group import Processes

SECRET = "of this run, and of no other"


def _join(rank: int, count: int, port: int, secret: Path, told: Any) -> None:
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port), "TORCHELASTIC_USE_AGENT_STORE": "True", ENV_RUN_SECRET: str(secret),
    }  # fmt: skip
    try:
        with Processes.joined(use_cpu=True) as processes:
            value = processes.broadcast({"rank": rank}, dict[str, int])
            told.put((rank, str(value)))
    except TrainerError as error:
        told.put((rank, error.message))


def outcomes(secrets: list[Path]) -> dict[int, str]:
    """What each process says, by rank."""
    store: Any = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=60))  # type: ignore[attr-defined]
    told: Any = CONTEXT.Queue()
    processes = [
        CONTEXT.Process(target=_join, args=(rank, len(secrets), store.port, secret, told))
        for rank, secret in enumerate(secrets)
    ]
    for process in processes:
        process.start()
    found = dict(told.get(timeout=120) for _ in processes)
    for process in processes:
        process.join()
    return found


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "own"
    path.write_text(SECRET)
    return path


@pytest.mark.slow
def test_processes_of_one_run_speak_to_each_other(own: Path) -> None:
    assert outcomes([own] * 3) == dict.fromkeys(range(3), "{'rank': 0}")


def test_a_process_that_took_the_place_of_another_is_found_out_before_anything_is_said(
    own: Path, tmp_path: Path
) -> None:
    guess = tmp_path / "guess"
    guess.write_text("a guess of sixteen bytes or more")

    found = outcomes([own, own, guess])

    for rank in (0, 1):
        assert found[rank] == "what answers in place of process 2 does not know the secret of this run"
    assert "{" not in found[2]


@pytest.mark.parametrize("content", ["", "short"])
def test_a_secret_that_can_be_guessed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    (tmp_path / "secret").write_text(content)
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(ENV_RUN_SECRET, str(tmp_path / "secret"))

    with pytest.raises(TrainerError, match="a secret has 16 at the least"), Processes.joined(use_cpu=True):
        pytest.fail("it joined")

    assert not torch.distributed.is_initialized()

"""A run in several processes without `launch`: they are forked off a server that has imported everything once."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch.distributed as dist
from ruamel.yaml import YAML
from tests.trainer.tiny import Settings

from finetune_api.report import FinalReport
from finetune_trainer.processes.child import ENV_FINAL_REPORTS

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        "finetune_trainer.run.train",
        "finetune_trainer.engines.transformers_trainer",
        "finetune_trainer.engines.pytorch_loop",
    ]
)


@dataclass(frozen=True)
class Signal:
    """Sent to itself by the process of `rank` after `step`."""

    rank: int
    step: int
    number: signal.Signals


@dataclass(frozen=True)
class Crowd:
    """How the processes ended, by rank."""

    codes: list[int]
    reports: dict[int, FinalReport]
    """Of those that were not killed."""


def run_together(
    settings: Settings,
    folder: Path,
    count: int = 2,
    sent: Signal | None = None,
    arm: Callable[[int], None] | None = None,
) -> Crowd:
    """Run `settings` in `count` processes. `arm`, a function of a module, is first called in each with its rank."""
    folder.mkdir(parents=True, exist_ok=True)
    YAML().dump(settings, folder / "run.yaml")
    for old in folder.glob("*.json"):
        old.unlink()
    store: Any = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=60))  # type: ignore[attr-defined]
    processes = [
        CONTEXT.Process(target=_work, args=(rank, count, store.port, folder, sent, arm)) for rank in range(count)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    reports = {int(path.stem): FinalReport.model_validate_json(path.read_text()) for path in folder.glob("*.json")}
    return Crowd([process.exitcode for process in processes], reports)


def _work(
    rank: int, count: int, port: int, folder: Path, sent: Signal | None, arm: Callable[[int], None] | None
) -> None:
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_USE_AGENT_STORE": "True",
        ENV_FINAL_REPORTS: str(folder), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    from finetune_trainer.__main__ import main

    # As in a process that nobody forked: else each that loads data starts a server of its own, which imports everything.
    multiprocessing.set_start_method("fork", force=True)
    if sent and sent.rank == rank:
        _arm(sent)
    if arm:
        arm(rank)
    sys.exit(main(["--config", str(folder / "run.yaml")]))


def _arm(sent: Signal) -> None:
    from finetune_trainer.progress.recorder import Recorder

    original = Recorder.step

    def step(self: Recorder, step: int, epoch: float) -> None:
        if step == sent.step:
            os.kill(os.getpid(), sent.number)
        original(self, step, epoch)

    Recorder.step = step  # type: ignore[method-assign]

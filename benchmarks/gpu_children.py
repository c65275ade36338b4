"""Each measurement in a process of its own, so that none can spoil the memory, the settings or the end of another.

Processes are forked from one that has imported the libraries and never used a GPU: an import takes longer than many of
the measurements. Where CUDA does not work in such a process, each is started from nothing.
"""

import contextlib
import json
import logging
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

Result = dict[str, Any]
Work = Callable[..., Result]
"""What a child does; its result goes through a file, as JSON."""
_IMPORTED = [
    "torch", "transformers", "accelerate", "datasets", "peft", "trl.trainer.sft_trainer", "finetune_trainer.__main__",
    "finetune_trainer.run.train", "finetune_trainer.tasks.causal_lm", "finetune_trainer.engines.transformers_trainer",
    "finetune_trainer.engines.pytorch_loop", "gpu_runs",
]  # fmt: skip
_LAST_LINES = 30


class Failed(Exception):
    """A child ended otherwise than it should; the text says how, with the last lines of what it told."""


class OutOfTime(Exception):
    """The part's time was over before its work was."""


@dataclass
class Child:
    """One process that was started."""

    process: Any
    result: Path
    log: Path

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, as somebody from outside does."""
        os.kill(self.process.pid, number)

    def running(self) -> bool:
        return bool(self.process.is_alive())

    def ended(self, deadline: float) -> int:
        """Wait for its end. Returns its exit code, that of the signal as a negative number.

        Raises:
            OutOfTime: It was not over at `deadline`, on `time.monotonic`'s clock, and was killed.
        """
        self.process.join(max(0.0, deadline - time.monotonic()))
        if self.process.exitcode is None:
            self.kill()
            raise OutOfTime(f"{self.log.stem} was not over in time, and was killed")
        return int(self.process.exitcode)

    def value(self, deadline: float) -> Result:
        """Wait for its end, and take what it found.

        Raises:
            Failed: It has no result.
            OutOfTime: As in `ended`.
        """
        code = self.ended(deadline)
        if not self.result.exists():
            raise Failed(f"{self.log.stem} ended with {code}:\n{self.told()}")
        result: Result = json.loads(self.result.read_text(encoding="utf-8"))
        return result

    def told(self) -> str:
        """The last lines that it wrote."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(lines[-_LAST_LINES:])

    def kill(self) -> None:
        """End it with all that it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGKILL)  # it may not have become a group yet
        self.process.join()


class Children:
    """Starts them, and keeps none when the benchmark ends."""

    def __init__(self, folder: Path, method: str = "forkserver") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._context: Any = multiprocessing.get_context(method)
        if method == "forkserver":
            self._context.set_forkserver_preload(_IMPORTED)
            forkserver.ensure_running()  # it takes a while to import them
        self._started: list[Child] = []

    def start(self, name: str, work: Work, *arguments: Any) -> Child:
        """Begin `work(*arguments)`. `name` tells it apart from all others."""
        result, log = self.folder / f"{name}.json", self.folder / f"{name}.log"
        process = self._context.Process(target=_child, args=(work, arguments, result, log))
        process.start()
        child = Child(process, result, log)
        self._started.append(child)
        return child

    def run(self, name: str, deadline: float, work: Work, *arguments: Any) -> Result:
        """Do `work(*arguments)`, and wait for what it finds. Raises as `Child.value`."""
        return self.start(name, work, *arguments).value(deadline)

    def end(self) -> None:
        """Kill those that still run."""
        for child in self._started:
            if child.running():
                child.kill()


@contextlib.contextmanager
def in_which_gpus_work(forked: Children) -> Iterator[Children]:
    """These, or others that are not forked where CUDA, if it works at all, only works in such. All are ended at the end."""
    started = forked
    try:
        looked = forked.run("look", time.monotonic() + 120, gpu_works)
        if not looked["works"] and looked["built_for_gpus"]:
            plain = Children(forked.folder, "spawn")
            if plain.run("look-again", time.monotonic() + 120, gpu_works)["works"]:
                started = plain
        yield started
    finally:
        started.end()


def gpu_works() -> Result:
    """Whether a GPU can be used in this process."""
    import torch

    built = torch.version.cuda is not None or torch.version.hip is not None
    try:
        return {"built_for_gpus": built, "works": float(torch.ones(8, device="cuda").sum()) == 8}
    except (RuntimeError, AssertionError) as error:
        print(error)
        return {"built_for_gpus": built, "works": False}


def _child(work: Work, arguments: tuple[Any, ...], result: Path, log: Path) -> None:
    os.setsid()  # a group of its own, with the processes that load its data
    multiprocessing.set_start_method(None, force=True)  # those begin as in any other program, and not as this one did
    with log.open("ab", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("finetune_trainer").setLevel(logging.INFO)
    try:
        found = work(*arguments)
    except BaseException:
        traceback.print_exc()
        raise
    written = result.with_suffix(".partial")
    written.write_text(json.dumps(found), encoding="utf-8")
    written.rename(result)
    sys.exit(found.get("code", 0))

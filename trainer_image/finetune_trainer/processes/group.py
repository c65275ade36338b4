"""The processes that train one run together, as one of them sees it.

They decide alike: whatever could differ between them, such as a signal that only one got, is shared with all. This goes
over gloo, by the CPU's memory, and not over the backend that reduces the gradients.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from finetune_api.reasons import Reason
from finetune_api.report import ExitCode
from finetune_trainer.base.errors import TrainerError, causes
from finetune_trainer.processes import exchange
from finetune_trainer.processes.secret import prove_connections, read_secret

T = TypeVar("T")

_TIMEOUT = timedelta(hours=24)
"""How long one process may prepare or export while the others wait. One that dies is noticed at once."""
_LOSS_PATTERNS = (
    "connection closed by", "closed the connection", "connection was likely closed", "connection reset by peer",
    "broken pipe", "connection refused", "connection timed out", "no route to host", "connectfullmesh failed",
    "remote process exited",
)  # fmt: skip
"""Messages of gloo, NCCL and the store for a connection that broke. Other errors of theirs are faults of the run itself."""


class Processes:
    """The process group, as the process of `rank` (0 to `count` - 1) sees it. Rank 0 is the main one: it writes and reports."""

    def __init__(self, rank: int = 0, count: int = 1, local_rank: int = 0) -> None:
        """`local_rank` counts the processes of this machine, from 0."""
        self.rank = rank
        self.count = count
        self.local_rank = local_rank
        self._gloo = dist.new_group(backend="gloo", timeout=_TIMEOUT) if count > 1 else None

    @classmethod
    @contextmanager
    def joined(cls, use_cpu: bool) -> Iterator["Processes"]:
        """Join the other processes, which `launch` has started. On GPUs this process uses the one of its local rank.

        Raises:
            TrainerError: PEER_LOST for whatever comes up because another process is gone; INTERNAL in the first process
                where they cannot even meet, so that this is counted, and once.
        """
        rank, count = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        if count == 1:
            yield cls()
            return
        local_rank = int(os.environ["LOCAL_RANK"])
        if not use_cpu:
            torch.cuda.set_device(local_rank)
        exchange.read_no_code()
        secret = read_secret()
        met = False
        try:
            dist.init_process_group("gloo" if use_cpu else "cpu:gloo,cuda:nccl")
            if secret:
                prove_connections(secret)
            processes = cls(rank, count, local_rank)
            if secret:
                prove_connections(secret, processes._gloo)
            dist.all_reduce(torch.zeros(1, device="cpu" if use_cpu else "cuda"))  # NCCL connects at the first one
            met = True
            yield processes
            dist.destroy_process_group()
        except TrainerError:
            raise
        except Exception as error:
            if lost := explain_loss(error):
                raise (lost if met or rank != 0 else peers_unreachable(lost.message)) from error
            raise

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes and reports."""
        return self.rank == 0

    def any(self, own: bool) -> bool:
        """Return whether `own` is true in any process. All must call it at the same time, as all methods that follow."""
        if self._gloo is None:
            return own
        flag = torch.tensor(int(own))
        asked = dist.all_reduce(flag, dist.ReduceOp.MAX, group=self._gloo, async_op=True)
        while not asked.is_completed():  # a signal is heard between two naps, and not within a call of gloo
            time.sleep(0.0001)
        asked.wait()
        return bool(flag)

    def broadcast(self, value: T, kind: Any) -> T:
        """Return the value that the main process has. `kind` is its type, by which it is read from JSON."""
        if self._gloo is None:
            return value
        self.any(False)  # waits for the main process, where a signal is heard
        return exchange.broadcast(value, kind, self._gloo)

    @contextmanager
    def barrier(self) -> Iterator[None]:
        """Wait at the end for all processes; what fails in one fails in all. Nothing within may call the others.

        Raises:
            TrainerError: PEER_LOST where it failed in another process, which reports why.
        """
        try:
            yield
        except BaseException:
            self.any(True)
            raise
        if self.any(False):
            raise peer_lost("another process failed")

    def local_main_first(self, work: Callable[[], T]) -> T:
        """Return the result of `work`, done on each machine first by one process, which fills the caches, then by the others."""
        results = []
        with self.barrier():
            if self.local_rank == 0:
                results.append(work())
        with self.barrier():
            if self.local_rank != 0:
                results.append(work())
        return results[0]


def peer_lost(message: str) -> TrainerError:
    return TrainerError(
        ExitCode.PEER_LOST,
        Reason.PEER_LOST,
        message,
        "the process that was lost, or its pod, reports the cause",
    )


def peers_unreachable(message: str) -> TrainerError:
    """Return a failure that is counted, in contrast to a lost peer: it would come up in each attempt."""
    return TrainerError(
        ExitCode.INTERNAL,
        Reason.PEERS_UNREACHABLE,
        message,
        "the pods with the job's label finetune.dev/job-uid must reach each other on any port: look for a NetworkPolicy "
        "or a service mesh that keeps them from it",
    )


def explain_loss(error: BaseException) -> TrainerError | None:
    """Return the failure PEER_LOST where an exception came up because another process is gone, else None."""
    for cause in causes(error):
        text = str(cause)
        if isinstance(cause, dist.DistError | RuntimeError) and any(
            pattern in text.lower() for pattern in _LOSS_PATTERNS
        ):
            return peer_lost(f"another process of the run was lost: {text.splitlines()[0]:.300}")
    return None

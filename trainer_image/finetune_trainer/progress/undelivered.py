"""Why a report did not arrive, for people: what is probably wrong, and who can mend it."""

import http
import socket
import ssl

from finetune_trainer.progress.endpoint import Refused

_REFUSALS: dict[int, str] = {
    http.HTTPStatus.UNAUTHORIZED: "the operator does not accept the pod's token (401)",
    http.HTTPStatus.FORBIDDEN: "the operator knows no such pod of this job (403)",
    http.HTTPStatus.NOT_FOUND: "what answers there is not the operator (404)",
    http.HTTPStatus.TOO_MANY_REQUESTS: "the operator has more reports than it can take (429)",
    http.HTTPStatus.SERVICE_UNAVAILABLE: "the operator cannot take reports now, or does not know this pod, as after its job was deleted (503)",
}


def explain(error: BaseException, host: str) -> str:
    """Return one line on why no report came to `host`."""
    if isinstance(error, Refused):
        return _REFUSALS.get(error.status, str(error))
    if isinstance(error, socket.gaierror):
        return f"DNS: the name {host} is not known here ({error.strerror}); is the cluster's DNS allowed to this pod?"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: the certificate of {host} is not of the authority in ca.crt ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {host} does not speak it as expected ({error})"
    if isinstance(error, ConnectionRefusedError):
        return f"connection refused: nothing listens at {host}; is the operator running?"
    if isinstance(error, TimeoutError):
        return f"timeout: {host} does not answer; often a NetworkPolicy lets nothing through"
    return f"{type(error).__name__}: {error}"

"""The secret of a run: its pods prove to each other that they hold it, and it never crosses the network.

Who proves answers a challenge, a number that is used once, with an HMAC over it, his role and the other side's.
"""

import hmac
import os
import secrets
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

from finetune_api.reasons import Reason
from finetune_api.report import ENV_RUN_SECRET, ExitCode
from finetune_trainer.base.errors import TrainerError, bad_configuration

BYTES = 32
"""Of a challenge, and of a proof."""
_SHORTEST = 16
_PROTOCOL = b"finetune-run/1"
_SECONDS = 120
"""For the processes to prove each other their connections; all have met by then."""


def read_secret() -> bytes | None:
    """Return the content of the file that FINETUNE_RUN_SECRET names; None where it names none.

    Raises:
        TrainerError: BAD_CONFIGURATION when it cannot be read or is too short to be a secret.
    """
    path = os.environ.get(ENV_RUN_SECRET)
    if not path:
        return None
    try:
        secret = Path(path).read_bytes().strip()
    except OSError as error:
        raise bad_configuration(
            f"{ENV_RUN_SECRET}: {path} cannot be read: {error.strerror}", reason=Reason.SECRET_UNREADABLE
        ) from error
    if len(secret) < _SHORTEST:
        raise bad_configuration(
            f"{ENV_RUN_SECRET}: {path} holds {len(secret)} bytes, and a secret has {_SHORTEST} at the least",
            f"the same on each machine: head -c {BYTES} /dev/urandom | base64 > {path}",
            Reason.SECRET_INCOMPLETE,
        )
    return secret


def challenge() -> bytes:
    return secrets.token_bytes(BYTES)


def proof(secret: bytes, role: bytes, *challenges: bytes) -> bytes:
    """Return what proves the secret. `role` says who proves it to whom, so that no answer is of use to another."""
    return hmac.digest(secret, b"".join((_PROTOCOL, b" ", role, b"\n", *challenges)), "sha256")


def is_proof(given: bytes, secret: bytes, role: bytes, *challenges: bytes) -> bool:
    return hmac.compare_digest(given, proof(secret, role, *challenges))


def prove_connections(secret: bytes, group: dist.ProcessGroup | None = None) -> None:
    """Let each two processes prove the secret over their connection of this group, before anything else is sent by it.

    gloo takes whoever connects first for the process that it waits for.

    Args:
        group: One with gloo; the default one if left out.

    Raises:
        TrainerError: INTERNAL where somebody else holds a connection, or nobody answers.
    """
    rank, count = dist.get_rank(), dist.get_world_size(group)
    asked = [challenge() for _ in range(count)]
    received = _exchange(asked, group)
    answers = [proof(secret, _role(rank, peer), received[peer]) for peer in range(count)]
    given = _exchange(answers, group)
    for peer in range(count):
        if not is_proof(given[peer], secret, _role(peer, rank), asked[peer]):
            raise _stranger(f"what answers in place of process {peer} does not know the secret of this run")


def _role(prover: int, verifier: int) -> bytes:
    return b"process %d to %d" % (prover, verifier)


def _exchange(messages: list[bytes], group: dist.ProcessGroup | None) -> list[bytes]:
    """Send the message of each index to the process of that rank, and return what each of them sent."""
    sent = torch.frombuffer(bytearray(b"".join(messages)), dtype=torch.uint8)
    came = torch.empty_like(sent)
    work = dist.all_to_all_single(came, sent, group=group, async_op=True)
    try:
        work.wait(timedelta(seconds=_SECONDS))
    except RuntimeError as error:
        if "timed out" in str(error).lower():
            raise _stranger(f"what holds a connection to another process said nothing for {_SECONDS} s") from error
        raise
    return [came[start : start + BYTES].numpy().tobytes() for start in range(0, len(came), BYTES)]


def _stranger(message: str) -> TrainerError:
    return TrainerError(
        ExitCode.INTERNAL,
        Reason.PEERS_UNREACHABLE,
        message,
        "something else than the pods of this job connects to them: see that its NetworkPolicy is enforced",
    )

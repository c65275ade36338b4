"""A connection on which nobody proves the secret ends the attempt; another failure is told as it is."""

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import torch.distributed as dist

from finetune_api.report import ExitCode
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.processes.secret import prove_connections


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let what the processes send each other fail with a text of gloo's."""

    def fail(text: str) -> None:
        def wait(timeout: timedelta) -> None:
            raise RuntimeError(text)

        monkeypatch.setattr(dist, "get_rank", lambda: 0)
        monkeypatch.setattr(dist, "get_world_size", lambda group: 2)
        monkeypatch.setattr(dist, "all_to_all_single", lambda *_, **__: SimpleNamespace(wait=wait))

    return fail


def test_who_holds_a_connection_and_says_nothing_is_not_waited_for(failing: Any) -> None:
    failing("Timed out waiting 120000ms for recv operation to complete")

    with pytest.raises(TrainerError, match="said nothing for 120 s") as caught:
        prove_connections(b"of this run, and of no other")

    assert (caught.value.exit_code, caught.value.reason) == (ExitCode.INTERNAL, "PeersUnreachable")


def test_a_connection_that_breaks_is_told_as_such(failing: Any) -> None:
    failing("Connection closed by peer [10.0.0.2]:40000")

    with pytest.raises(RuntimeError, match="closed by peer"):
        prove_connections(b"of this run, and of no other")

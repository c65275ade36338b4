"""Machines meet, and notice when one of them is lost."""

import threading

import pytest

from finetune_api.report import ExitCode
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.processes.rendezvous import Rendezvous


def machine(node: int, port: int, timeout: float = 20.0) -> Rendezvous:
    return Rendezvous("127.0.0.1", port, node, nodes=2, timeout=timeout)


@pytest.fixture
def port() -> int:
    """A free one; taken by a meeting of one machine that is over."""
    alone = Rendezvous("127.0.0.1", 0, node=0, nodes=1, timeout=5.0)
    return alone.next_rendezvous().bootstrap_store_info.master_port


def meet(first: Rendezvous, second: Rendezvous) -> tuple[int, int]:
    ranks: list[int] = []
    late = threading.Thread(target=lambda: ranks.append(second.next_rendezvous().rank))
    late.start()
    info = first.next_rendezvous()
    late.join()
    return info.rank, ranks[0]


def test_the_first_machine_does_not_need_its_own_name_in_dns() -> None:
    first = Rendezvous("first.example.invalid", 0, node=0, nodes=1, timeout=5)

    found = first.next_rendezvous()

    assert (found.rank, found.world_size) == (0, 1)
    assert found.bootstrap_store_info.master_addr == "first.example.invalid"


def test_machines_meet_by_their_numbers_whoever_comes_first(port: int) -> None:
    first, second = machine(0, port), machine(1, port)

    assert meet(first, second) == (0, 1)
    assert (first.num_nodes_waiting(), second.num_nodes_waiting()) == (0, 0)


def test_a_machine_that_comes_a_second_time_has_lost_its_processes_and_waits_for_the_others_to_start_anew(
    port: int,
) -> None:
    first = machine(0, port)
    meet(first, machine(1, port))

    with pytest.raises(TrainerError, match="the attempt before this one does not end") as waiting:
        machine(1, port, timeout=0.3).next_rendezvous()
    with pytest.raises(TrainerError, match="another machine of the run has started again") as left:
        first.num_nodes_waiting()

    assert (waiting.value.exit_code, left.value.exit_code) == (ExitCode.PEER_LOST, ExitCode.PEER_LOST)


@pytest.mark.parametrize(
    ("node", "host", "code"),
    [
        pytest.param(0, "127.0.0.1", ExitCode.PEER_LOST, id="another one does not come"),
        pytest.param(1, "127.0.0.1", ExitCode.INTERNAL, id="the first one is there and cannot be reached"),
        pytest.param(2, "127.0.0.1", ExitCode.PEER_LOST, id="nor can a third one reach it"),
        pytest.param(1, "first.example.invalid", ExitCode.PEER_LOST, id="the first one is not there"),
    ],
)
def test_waiting_in_vain_counts_once_and_not_where_it_is_for_a_machine_that_does_not_run(
    port: int, node: int, host: str, code: ExitCode
) -> None:
    with pytest.raises(TrainerError) as caught:
        Rendezvous(host, port, node, nodes=3, timeout=0.3).next_rendezvous()

    assert caught.value.exit_code == code

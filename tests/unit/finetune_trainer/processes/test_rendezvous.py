"""Machines meet, and notice when one of them is lost."""

import socket
import threading
from collections.abc import Iterator

import pytest
from torch.distributed import PrefixStore

from finetune_api.report import ExitCode
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.processes.rendezvous import Rendezvous

SECRET = b"of this run, and of no other"
_machines: list[Rendezvous] = []


def machine(
    node: int, port: int, timeout: float = 20.0, *, nodes: int = 2, host: str = "127.0.0.1", secret: bytes = SECRET
) -> Rendezvous:
    _machines.append(Rendezvous(host, port, node, nodes, timeout, secret))
    return _machines[-1]


@pytest.fixture
def port() -> Iterator[int]:
    """A free one. What met there has parted afterwards."""
    with socket.create_server(("", 0)) as taken:
        free = taken.getsockname()[1]
    yield free
    while _machines:
        _machines.pop().shutdown()


def meet(first: Rendezvous, second: Rendezvous) -> tuple[int, int]:
    ranks: list[int] = []
    late = threading.Thread(target=lambda: ranks.append(second.next_rendezvous().rank))
    late.start()
    info = first.next_rendezvous()
    late.join()
    return info.rank, ranks[0]


def test_the_first_machine_does_not_need_its_own_name_in_dns() -> None:
    first = Rendezvous("first.example.invalid", 0, node=0, nodes=1, timeout=60)

    found = first.next_rendezvous()

    assert (found.rank, found.world_size) == (0, 1)
    assert found.bootstrap_store_info.master_addr == "127.0.0.1"


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


@pytest.mark.parametrize("nodes", [2, 5])
def test_whether_a_machine_came_again_is_one_question_however_many_there_are(
    port: int, nodes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    class Counting(PrefixStore):
        def add(self, key: str, amount: int) -> int:
            asked.append(key)
            return int(super().add(key, amount))

    monkeypatch.setattr("finetune_trainer.processes.rendezvous.PrefixStore", Counting)
    machines = [machine(node, port, nodes=nodes) for node in range(nodes)]
    others = [threading.Thread(target=each.next_rendezvous) for each in machines[1:]]
    for each in others:
        each.start()
    machines[0].next_rendezvous()
    for each in others:
        each.join()
    asked.clear()

    machines[0].num_nodes_waiting()

    assert len(asked) == 1


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
        machine(node, port, 0.3, nodes=3, host=host).next_rendezvous()

    assert caught.value.exit_code == code


@pytest.mark.parametrize(
    ("node", "code"),
    [pytest.param(1, ExitCode.INTERNAL, id="counted"), pytest.param(2, ExitCode.PEER_LOST, id="and once for all")],
)
def test_a_machine_with_another_secret_gets_no_place(port: int, node: int, code: ExitCode) -> None:
    first = machine(0, port, 1.0, nodes=3)

    def wait_in_vain() -> None:
        with pytest.raises(TrainerError, match="not all of the 3 machines came"):
            first.next_rendezvous()

    late = threading.Thread(target=wait_in_vain)
    late.start()

    with pytest.raises(TrainerError, match="the secrets of the two machines may differ") as caught:
        machine(node, port, 0.5, nodes=3, secret=b"of another run altogether").next_rendezvous()
    late.join()

    assert caught.value.exit_code == code


@pytest.mark.parametrize("nodes", [1, 2])
def test_the_store_listens_on_the_loopback_alone(port: int, nodes: int) -> None:
    first = machine(0, port, nodes=nodes)
    late = threading.Thread(target=lambda: nodes == 1 or machine(1, port).next_rendezvous())
    late.start()
    store = first.next_rendezvous().bootstrap_store_info.master_port
    late.join()

    socket.create_connection(("127.0.0.1", store), timeout=60).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", store), timeout=60)

"""Where the machines of a run meet, by their number and the address of the first one, once they have proven its secret."""

import socket
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from torch.distributed import DistError, PrefixStore, Store, TCPStore  # type: ignore[attr-defined]
from torch.distributed.elastic.rendezvous import RendezvousHandler, RendezvousInfo, RendezvousStoreInfo

from finetune_trainer.processes.group import peer_lost, peers_unreachable
from finetune_trainer.processes.tunnel import ENTER_SECONDS, Tunnel

_LOOPBACK = "127.0.0.1"
_PAUSE_SECONDS = 0.2
STORE_SECONDS: Final = 20.0
"""So long the first machine may take to answer."""
_STORE_TIMEOUT = timedelta(seconds=STORE_SECONDS)
ATTEMPT_SECONDS: Final = ENTER_SECONDS + 2 * STORE_SECONDS
"""So long one try to join the first machine may take: to reach it, to be let into its store, and to register there."""
_AGAIN = "again"
"""Counts the machines that came a second time, so that one question is enough however many there are."""


class Rendezvous(RendezvousHandler):
    """Meets once. In contrast to torch's static one, waiting can be interrupted, and a machine that comes again is seen."""

    def __init__(
        self,
        host: str,
        port: int,
        node: int,
        nodes: int,
        timeout: float,
        secret: bytes | None = None,
        waits: Callable[[], None] = lambda: None,
    ) -> None:
        """Make a meeting of `nodes` machines, of which this is number `node`.

        Args:
            host: Address of the first machine.
            port: Where it lets the others in; 0 takes a free port.
            timeout: How long to wait for the other machines, in seconds.
            secret: What they prove to each other. One machine alone needs none.
            waits: Called again and again while this machine waits for others.
        """
        self._host, self._port, self._node, self._nodes = host, port, node, nodes
        self._timeout = timeout
        self._waits = waits
        self._tunnel = Tunnel(secret) if secret else None
        self._store: Store | None = None

    def next_rendezvous(self) -> RendezvousInfo:
        """Wait until all machines are there.

        Raises:
            TrainerError: PEER_LOST when they do not come in time; INTERNAL, which is counted, on the second machine
                where the first one is there and cannot be reached.
        """
        deadline = time.monotonic() + self._timeout
        store, machines = self._join(deadline)
        while not machines.check([str(node) for node in range(self._nodes)]):
            if time.monotonic() > deadline:
                raise peer_lost(f"not all of the {self._nodes} machines came within {self._timeout:.0f} s")
            self._waits()
            time.sleep(_PAUSE_SECONDS)
        self._store = machines
        address = RendezvousStoreInfo(_LOOPBACK, store.port)
        return RendezvousInfo(PrefixStore("workers", store), self._node, self._nodes, address)

    def _join(self, deadline: float) -> tuple[TCPStore, Store]:
        """Return the first machine's store, and the part of it where this machine has just registered."""
        while True:
            self._waits()
            try:
                store = self._connect()
                machines = PrefixStore("machines", store)
                if machines.add(str(self._node), 1) == 1:
                    return store, machines
                machines.add(_AGAIN, 1)
                problem = peer_lost("the attempt before this one does not end on the first machine")
            except socket.gaierror as error:  # it does not run yet
                problem = peer_lost(f"the first machine is not there: {self._host}: {error}")
            except (OSError, DistError) as error:
                explain = peers_unreachable if self._node < 2 else peer_lost  # counted, and once for all that wait
                problem = explain(f"{self._host}:{self._port} cannot be reached: {error}")
            if time.monotonic() > deadline:
                raise problem
            time.sleep(_PAUSE_SECONDS)

    def _connect(self) -> TCPStore:
        if self._node > 0:
            port = self._entrance().open_exit(self._host, self._port)
            return TCPStore(_LOOPBACK, port, None, False, _STORE_TIMEOUT, wait_for_workers=False)
        listening = socket.create_server((_LOOPBACK, 0), backlog=512)
        port = listening.getsockname()[1]
        store = TCPStore(
            _LOOPBACK, port, None, True, _STORE_TIMEOUT, wait_for_workers=False, master_listen_fd=listening.detach()
        )
        if self._nodes > 1:
            self._entrance().open_entrance(self._port, port)
        return store

    def _entrance(self) -> Tunnel:
        if self._tunnel is None:
            raise ValueError("several machines meet by a secret")
        return self._tunnel

    def num_nodes_waiting(self) -> int:
        """Return 0, while the workers run; the agent calls this again and again.

        Raises:
            TrainerError: PEER_LOST when the first machine is gone, or one has come a second time: the workers would wait in
                vain for those of the machine that is gone.
        """
        if self._store is None or self._nodes == 1:
            return 0
        try:
            again = self._store.add(_AGAIN, 0)
        except DistError as error:
            raise peer_lost(f"the first machine of the run was lost: {error}") from error
        if again:
            raise peer_lost("another machine of the run has started again")
        return 0

    @property
    def use_agent_store(self) -> bool:
        return True

    def get_backend(self) -> str:
        return "static"

    def get_run_id(self) -> str:
        return "finetune"

    def is_closed(self) -> bool:
        return False

    def set_closed(self) -> None:
        """Do nothing: there is no second meeting to prevent."""

    def shutdown(self) -> bool:
        """Leave the others: nobody can reach the store by this machine any more."""
        if self._tunnel is not None:
            self._tunnel.close()
        return True

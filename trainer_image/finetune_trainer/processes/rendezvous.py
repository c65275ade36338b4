"""Where the machines of a run meet, by their number and the address of the first one."""

import socket
import time
from datetime import timedelta

from torch.distributed import DistError, PrefixStore, Store, TCPStore  # type: ignore[attr-defined]
from torch.distributed.elastic.rendezvous import RendezvousHandler, RendezvousInfo, RendezvousStoreInfo

from finetune_trainer.processes.group import peer_lost, peers_unreachable

_PAUSE_SECONDS = 0.2
_STORE_TIMEOUT = timedelta(seconds=20)


class Rendezvous(RendezvousHandler):
    """Meets once. In contrast to torch's static one, waiting can be interrupted, and a machine that comes again is seen."""

    def __init__(self, host: str, port: int, node: int, nodes: int, timeout: float) -> None:
        """Take a free port where `port` is 0. `timeout` is how long to wait for the other machines, in seconds."""
        self._host, self._port, self._node, self._nodes = host, port, node, nodes
        self._timeout = timeout
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
            time.sleep(_PAUSE_SECONDS)
        self._store = machines
        address = RendezvousStoreInfo(self._host, store.port)
        return RendezvousInfo(PrefixStore("workers", store), self._node, self._nodes, address)

    def _join(self, deadline: float) -> tuple[TCPStore, Store]:
        """Return the first machine's store, and the part of it where this machine has just registered."""
        while True:
            try:
                store = self._connect()
                machines = PrefixStore("machines", store)
                if machines.add(str(self._node), 1) == 1:
                    return store, machines
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
        # The first machine serves the store itself: DNS may not know its name yet, seconds after its pod began.
        first = self._node == 0
        host = "127.0.0.1" if first else self._host
        if not first:  # a store that cannot connect tries on by itself, and no signal is heard meanwhile
            socket.create_connection((host, self._port), timeout=2).close()
        return TCPStore(host, self._port, None, first, _STORE_TIMEOUT, wait_for_workers=False, multi_tenant=True)

    def num_nodes_waiting(self) -> int:
        """Return 0, while the workers run; the agent calls this again and again.

        Raises:
            TrainerError: PEER_LOST when the first machine is gone, or one has come a second time: the workers would wait in
                vain for those of the machine that is gone.
        """
        if self._store is None or self._nodes == 1:
            return 0
        try:
            again = any(self._store.add(str(node), 0) > 1 for node in range(self._nodes))
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
        return True

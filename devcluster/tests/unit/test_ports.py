import socket
from pathlib import Path

from devcluster.ports import free_ports

SYSTEM = Path("/proc/sys/net/ipv4/ip_local_port_range")


def test_ports_differ_are_free_and_are_none_that_the_system_gives_to_others() -> None:
    ports = free_ports(50)

    for port in ports:
        socket.create_server(("127.0.0.1", port)).close()

    assert len(set(ports)) == 50
    assert max(ports) < 30_000 < int(SYSTEM.read_text().split()[0])

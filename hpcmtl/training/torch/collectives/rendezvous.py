"""Rendezvous of a group: the store by which its process group finds its ranks."""

from __future__ import annotations

import socket
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from hpcmtl.communicators.outcome import on_root
from hpcmtl.training.torch.compat import import_torch

if TYPE_CHECKING:
    from hpcmtl.communicators.base import Communicator

torch = import_torch()

LOOPBACK = "127.0.0.1"
TIME_LIMIT = timedelta(minutes=5)
_DISCARD = 9  # a port; nothing is sent to it


def open_store(group: Communicator) -> tuple[Any, str]:
    """Opens a store on the group's first rank, and connects the others to it (collective).

    The store listens on the loopback address if all ranks are on one host, else on the address by which the first rank
    reaches the others.

    Returns:
        The store, and the address of this rank for the other ones.
    """
    hosts = group.allgather(socket.gethostname())
    address = own_address(hosts[group.rank], hosts)
    made: list[Any] = []

    def listen() -> tuple[str, int]:
        listener = socket.create_server((address, 0))
        port = int(listener.getsockname()[1])
        made.append(
            torch.distributed.TCPStore(
                address,
                port,
                group.size,
                is_master=True,
                timeout=TIME_LIMIT,
                wait_for_workers=False,
                master_listen_fd=listener.detach(),  # by itself the store would listen on all addresses
            )
        )
        return address, port

    host, port = on_root(group, listen)
    if not made:
        made.append(torch.distributed.TCPStore(host, port, group.size, timeout=TIME_LIMIT, wait_for_workers=False))
    return made[0], address


def own_address(own: str, hosts: list[str]) -> str:
    """Returns the address by which hosts reach this one: loopback if there is no other."""
    other = next((host for host in hosts if host != own), None)
    if other is None:
        return LOOPBACK
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((other, _DISCARD))  # sends nothing: the system chooses the interface
        return str(probe.getsockname()[0])

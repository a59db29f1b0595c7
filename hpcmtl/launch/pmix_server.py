"""Checks that a PMIx server, which a launcher has on each node, is alive."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_SECONDS_TO_CONNECT = 2.0


def is_gone(folder: Path) -> bool:
    """Returns true if a directory does not exist; one that this process must not look at may exist."""
    try:
        folder.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def server_answers(addresses: Iterable[str]) -> bool:
    """Returns true if a server accepts a connection at one of the addresses, each ``NAME;tcp4://HOST:PORT``."""
    for address in addresses:
        host, _, port = address.rpartition("://")[2].rpartition(":")
        try:
            with socket.create_connection((host.strip("[]"), int(port)), _SECONDS_TO_CONNECT):
                return True
        except (OSError, OverflowError, ValueError):  # ValueError: it has another form
            continue
    return False

"""The other ranks of this node, as children of the same daemon."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")


def stopped_siblings() -> list[int]:
    """Processes of the same parent that are stopped, as by SIGSTOP; none where there is no /proc.

    None either where the parent is the first of all processes, whose children may be anybody's.
    """
    parent = os.getppid()
    found = []
    for folder in PROC.glob("[0-9]*") if parent > 1 else ():
        with suppress(OSError):  # it has ended meanwhile
            text = (folder / "stat").read_text(encoding="utf-8", errors="replace")
            state, its_parent = text.rpartition(")")[2].split()[:2]  # after the name, which may hold anything
            if state in {"T", "t"} and int(its_parent) == parent:
                found.append(int(folder.name))
    return found

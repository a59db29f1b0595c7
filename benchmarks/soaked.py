"""What the tasks of `soak.py` call."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def fumble(context: Any) -> None:
    """Raise on all ranks alike in the first calls of a task."""
    calls = Path(context.arguments["calls"])
    count = 0
    if context.group.rank == 0:
        count = int(calls.read_text(encoding="ascii")) + 1 if calls.exists() else 1
        calls.write_text(str(count), encoding="ascii")
    if context.group.bcast(count) <= context.arguments["fails"]:
        raise RuntimeError("on purpose")

"""Fault injection: HPCMTL_FAULT makes a run fail on purpose at a given point, to test recovery.

Off by default; each failpoint is then one comparison with None. `request.requested` documents the syntax. A fault
happens once in a run directory, which stores a marker, so that a resumed attempt is not hit again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.faults.request import ALL_RANKS, requested
from hpcmtl.faults.switch import OnPurposeError, Switch

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from hpcmtl.faults.request import Fault
    from hpcmtl.faults.switch import Bytes, Memory

__all__ = ["OnPurposeError", "arm", "disarm", "file_point", "partial_write", "requested", "step_point"]

_switch: Switch | None = None


def arm(faults: Iterable[Fault], directory: Path, rank: int, attempt: int = 1) -> None:
    """Activates faults in this process.

    Args:
        faults: result of `requested`.
        directory: run directory; the markers are stored in its folder ``faults``.
        rank: rank of this process in the world.
        attempt: number of this attempt at the run, from 1.
    """
    global _switch  # noqa: PLW0603 - one per process, like the environment, so that failpoints cost nothing
    mine = [fault for fault in faults if fault.rank in {None, rank, ALL_RANKS} and fault.attempt in {None, attempt}]
    _switch = Switch(mine, directory / "faults", rank) if mine else None


def disarm() -> None:
    """Deactivates all faults."""
    global _switch  # noqa: PLW0603 - as `arm`
    _switch = None


def step_point(task: str, layer: int, step: int | None = None, memory: Memory | None = None) -> None:
    """Failpoint: a task layer was taken up (`step` None), or `step` of its steps are done.

    Args:
        task: name of the task.
        layer: number of the layer.
        step: number of steps since the layer was taken up.
        memory: `Learner.views`, through which a fault may change a trained parameter.
    """
    if _switch is not None:
        _switch.step_point(task, layer, step, memory)


def file_point(path: Path, stage: str) -> None:
    """Failpoint: the writing of a file has reached one of `STAGES`.

    Raises:
        OSError: an active fault requests it.
    """
    if _switch is not None:
        _switch.file_point(path, stage)


def partial_write(path: Path, data: Bytes) -> Bytes:
    """Failpoint: returns the part of `data` to write; half of it before the disk is full or the process ends.

    Raises:
        OSError: the disk is full, if an active fault requests it.
    """
    return data if _switch is None else _switch.partial_write(path, data)

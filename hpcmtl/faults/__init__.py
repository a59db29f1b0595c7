"""The fault switch: HPCMTL_FAULT makes a run fail on purpose, at a stated place, to test what survives it.

Off by default; each hook is then one test against None. `request.requested` has the syntax. A fault happens once in a
run directory, which keeps a marker of it, so that an attempt that resumes the run is not hit again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.faults.request import ALL_RANKS, requested
from hpcmtl.faults.switch import OnPurposeError, Switch

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from hpcmtl.faults.request import Fault
    from hpcmtl.faults.switch import Bytes

__all__ = ["OnPurposeError", "arm", "at", "disarm", "reach", "requested", "torn"]

_switch: Switch | None = None


def arm(faults: Iterable[Fault], directory: Path, rank: int, attempt: int = 1) -> None:
    """Let these faults happen in this process from now on.

    Args:
        faults: as `requested`.
        directory: the run directory, which gets a folder ``faults`` for the markers.
        rank: of this process in the world.
        attempt: number of this attempt at the run, from 1.
    """
    global _switch  # noqa: PLW0603 - one for the process, as the environment is, so that hooks cost nothing
    mine = [fault for fault in faults if fault.rank in {None, rank, ALL_RANKS} and fault.attempt in {None, attempt}]
    _switch = Switch(mine, directory / "faults", rank) if mine else None


def disarm() -> None:
    """Let nothing happen any more."""
    global _switch  # noqa: PLW0603 - as `arm`
    _switch = None


def step_point(task: str, layer: int, step: int | None = None) -> None:
    """Hook: a layer is taken up (`step` None), or so many of its steps are done."""
    if _switch is not None:
        _switch.step_point(task, layer, step)


def file_point(path: Path, stage: str) -> None:
    """Hook: the writing of a file has come to one of `STAGES`.

    Raises:
        OSError: if that was asked for.
    """
    if _switch is not None:
        _switch.file_point(path, stage)


def partial_write(path: Path, data: Bytes) -> Bytes:
    """Hook: what a write of `data` is given; half of it just before the disk is full or the process ends.

    Raises:
        OSError: the disk is full, if that was asked for.
    """
    return data if _switch is None else _switch.partial_write(path, data)

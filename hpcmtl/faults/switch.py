"""Execution of faults in this process, at the failpoints of the program."""

from __future__ import annotations

import errno
import os
import re
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from hpcmtl.errors import HpcmtlError
from hpcmtl.faults.request import ALL_RANKS, DAMAGE, FILES, STAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    import numpy as np

    from hpcmtl.faults.request import Fault

    Memory = Callable[[Literal["trained"]], Mapping[str, np.ndarray[Any, Any]]]

Bytes = TypeVar("Bytes", bytes, memoryview)


class OnPurposeError(HpcmtlError):
    """Raised by a fault of kind ``raise`` in a step; while writing a file it raises `OSError`."""


class Switch:
    """Holds the active faults of this process."""

    def __init__(self, faults: Iterable[Fault], folder: Path, rank: int) -> None:
        """Activates faults.

        Args:
            faults: faults of this rank.
            folder: folder of the markers; created with the first marker.
            rank: rank in the world.
        """
        self._faults = tuple(faults)
        self._folder, self._rank = folder, rank
        self._lock = threading.Lock()  # files are written by other threads
        self._counts: dict[Fault, int] = {}
        self._due: dict[Fault, Path] = {}  # file of each pending fault
        self._partial: set[Fault] = set()

    def step_point(self, task: str, layer: int, step: int | None, memory: Memory | None) -> None:
        """See `faults.step_point`."""
        for fault in self._faults:
            here = fault.task in {"", task} and fault.layer in {None, layer} and fault.step in {None, step}
            if fault.write or not here or (fault.kind == "flip" and memory is None) or not self._claim(fault):
                continue
            if fault.kind == "flip" and memory is not None:
                self._announce(fault)
                _flip_parameter(memory("trained"))
            else:
                self._happen(fault, OnPurposeError(f"on purpose: {fault.text}"))

    def file_point(self, path: Path, stage: str) -> None:
        """See `faults.file_point`."""
        if stage == STAGES[0]:
            self._begin(path)
        for fault in self._faults:
            here = self._due.get(fault) == path and fault.stage == stage and fault.kind != "full"  # see `partial_write`
            if here and self._claim(fault):
                if fault.kind in DAMAGE:
                    self._announce(fault)
                    _damage(path, fault.kind)
                else:
                    self._happen(fault, OSError(errno.EIO, f"{os.strerror(errno.EIO)}, on purpose", str(path)))
        if stage == STAGES[-1]:
            with self._lock:
                self._due = {fault: due for fault, due in self._due.items() if due != path}

    def partial_write(self, path: Path, data: Bytes) -> Bytes:
        """See `faults.partial_write`."""
        for fault in self._faults:
            if self._due.get(fault) != path or not (fault.kind == "full" or fault.stage == "half"):
                continue
            if fault not in self._partial and not (fault.kind == "full" and not self._claim(fault)):
                self._partial.add(fault)
                return data[: len(data) // 2]
            if fault.kind == "full" and fault in self._partial:
                raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}, on purpose", str(path))
        return data

    def _begin(self, path: Path) -> None:
        """Finds the faults that apply to this write of a file."""
        what, task = _identity(path)
        with self._lock:
            for fault in self._faults:
                if fault.write and fault.write == what and fault.task in {"", task}:
                    count = self._counts[fault] = self._counts.get(fault, 0) + 1
                    self._partial.discard(fault)
                    self._due.pop(fault, None)
                    if (count >= fault.nth if fault.every else count == fault.nth) and not self._happened(fault):
                        self._due[fault] = path

    def _happened(self, fault: Fault) -> bool:
        return not fault.every and self._marker(fault).exists()

    def _claim(self, fault: Fault) -> bool:
        """Returns True if the fault happens on this rank; the first rank to claim it creates the marker."""
        if fault.every:
            return True
        marker = self._marker(fault)
        marker.parent.mkdir(exist_ok=True)
        try:
            marker.touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def _marker(self, fault: Fault) -> Path:
        name = re.sub(r"[^\w=.-]+", "_", fault.text)
        return self._folder / (f"{name}.rank-{self._rank:03d}" if fault.rank == ALL_RANKS else name)

    def _happen(self, fault: Fault, error: Exception) -> None:
        if fault.kind == "slow":
            time.sleep(fault.seconds)
            return
        self._announce(fault)
        if fault.kind == "raise":
            raise error
        os.kill(os.getpid(), signal.SIGKILL if fault.kind == "kill" else signal.SIGSTOP)

    def _announce(self, fault: Fault) -> None:
        # Not the log: its last lines may be lost when the process is killed a moment later.
        os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, f"hpcmtl rank {self._rank}: {fault.text}\n".encode())


def _identity(path: Path) -> tuple[str, str]:
    """Returns the kind of a file in the run directory, and its task."""
    folder = path.parent
    if folder.parent.name == "checkpoints":
        return "checkpoint", folder.name
    if folder.name == "artifacts":
        return "artifact", path.stem
    return FILES.get(path.name, ""), ""


def _damage(path: Path, kind: str) -> None:
    """Truncates a file to half, or flips one bit in it, in a byte that is not padding."""
    content = bytearray(path.read_bytes())
    if kind == "truncate":
        os.truncate(path, len(content) // 2)
        return
    place = next((number for number in range(len(content) // 2, -1, -1) if content[number]), 0)
    content[place] ^= 4
    path.write_bytes(content)


def _flip_parameter(arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """Flips a high bit of the fraction of the first number among some arrays."""
    first = next(array for array in arrays.values() if array.size)
    number = first.reshape(-1)[:1].copy()
    number.view("u1")[-2] ^= 4
    first.reshape(-1)[:1] = number

"""CPU and memory limits of this process by Linux control groups, as set by batch systems and containers."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PROC, _ROOT = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
# Version 1 shows the largest number of pages for "no limit".
_NO_LIMIT = 1 << 60


@dataclass(frozen=True)
class Limits:
    """Holds the tightest limits of the process's control groups and their ancestors.

    Attributes:
        cpus: CPU quota in cores; None without a limit.
        memory: bytes; None without a limit.
    """

    cpus: float | None = None
    memory: int | None = None


def cgroup_limits(proc: Path = _PROC, root: Path = _ROOT) -> Limits:
    """Reads the limits of cgroup version 1 or 2; unreadable files mean no limit.

    Args:
        proc: file with the groups of the process.
        root: mount point of the control groups.
    """
    cpus, memory = [], []
    for folder in _folders(proc, root):
        cpus += [_quota(_words(folder / "cpu.max"))]
        cpus += [_quota([*_words(folder / "cpu.cfs_quota_us"), *_words(folder / "cpu.cfs_period_us")])]
        memory += [_number(_words(folder / name)) for name in ("memory.max", "memory.limit_in_bytes")]
    return Limits(
        min((each for each in cpus if each is not None), default=None),
        min((int(each) for each in memory if each is not None and each < _NO_LIMIT), default=None),
    )


def _folders(proc: Path, root: Path) -> Iterator[Path]:
    """Yields the groups of the process in every relevant hierarchy, each with all its ancestors."""
    for line in _lines(proc):
        _, controllers, path = line.split(":", 2)
        names = controllers.split(",")
        if names == [""]:
            mounts = [root, root / "unified"]
        elif {"cpu", "memory"} & set(names):
            mounts = [root / controllers, *(root / name for name in names)]
        else:
            continue
        parts = [part for part in path.split("/") if part not in {"", ".."}]
        for mount in mounts:
            # A container may see its own group as the root while the path is that of the host: only the root exists
            # then.
            for depth in range(len(parts), -1, -1):
                yield mount.joinpath(*parts[:depth])


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def _words(path: Path) -> list[str]:
    return _lines(path)[0].split() if os.access(path, os.R_OK) and _lines(path) else []


def _number(words: list[str]) -> float | None:
    return float(words[0]) if words and words[0].isdigit() else None


def _quota(words: list[str]) -> float | None:
    """Returns the quota in cores of words like ``150000 100000``; None for ``max 100000`` and ``-1 100000``."""
    quota, period = _number(words), _number(words[1:])
    return quota / period if quota and period else None

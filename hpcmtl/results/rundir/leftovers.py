"""Files that a killed process leaves half-written in a run directory."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hpcmtl.results.rundir.directory import RunDirectory

_SEALED = re.compile(r"\..+\.[0-9a-f]{32}\.partial", re.ASCII)
_TEXT = re.compile(r"\..+\.(json|yaml)\.[0-9]+", re.ASCII)


def orphans(run: RunDirectory) -> Iterator[Path]:
    """Yields the half-written files of a run of which no attempt is alive: none of them can be of use."""
    for folder in (run.artifacts, *(each for each in _entries(run.checkpoints) if each.is_dir())):
        yield from (file for file in _entries(folder) if _SEALED.fullmatch(file.name))
    for folder in (run.path, run.requests):
        yield from (file for file in _entries(folder) if _TEXT.fullmatch(file.name))


def remove_orphans(run: RunDirectory) -> list[Path]:
    """Removes these files; returns those that were there."""
    found = list(orphans(run))
    for file in found:
        file.unlink(missing_ok=True)
    return found


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []

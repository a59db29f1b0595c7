"""Guards a task against data files that change while its job runs, or between two attempts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.communicators.outcome import on_root
from hpcmtl.data.fingerprint import read_fingerprints, require_unchanged
from hpcmtl.jobfile.references import references_of

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from hpcmtl.training.session import SessionContext


def require_unchanged_data(context: SessionContext) -> None:
    """Refuses a task whose data files no longer hold the values that the run began with (collective).

    The first rank of the group compares inode, size and time of each file. It reads a file only if these differ.

    Raises:
        InputError: values have changed; on all ranks.
    """
    on_root(context.group, lambda: _require_unchanged(context))


def _require_unchanged(context: SessionContext) -> None:
    names: dict[str, set[str]] = {}
    for _, reference in references_of(context.job, context.task):
        origin, dataset = reference.split("/", 1)
        names.setdefault(origin, set()).add(dataset)
    for origin, used in names.items():
        if origin in context.files:
            require_unchanged_file(context, context.files[origin], used)


def require_unchanged_file(context: SessionContext, path: Path, names: Collection[str]) -> None:
    """Refuses one file whose named arrays have changed; for this rank alone.

    Raises:
        InputError: values have changed.
    """
    known = read_fingerprints(context.directory.data_file)
    if path in known:
        require_unchanged(path, known[path], names)

"""The claim on a run directory, by which only one attempt at a time begins."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hpcmtl.communicators.outcome import on_root
from hpcmtl.errors import EnvironmentUnfitError, naming_no_permission
from hpcmtl.results.ledger import lock_soon
from hpcmtl.results.rundir.directory import RunDirectory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hpcmtl.communicators.base import Communicator


@contextmanager
def claimed(world: Communicator, run: Path | None) -> Iterator[None]:
    """Keeps other attempts from a run directory while the block runs (collective).

    The lock on the ledger would do so later: after the checks, and on rank 0 alone.

    Args:
        world: communicator of all ranks.
        run: run directory; None for one that is still to be made.

    Raises:
        EnvironmentUnfitError: another process has claimed it; on all ranks.
    """
    claims: list[int] = []
    if run is not None:
        on_root(world, lambda: _claim_for(run, claims))
    try:
        yield
    finally:
        for descriptor in claims:
            os.close(descriptor)


def _claim_for(run: Path, claims: list[int]) -> None:
    with naming_no_permission():
        claims.append(_claim(run))


def _claim(run: Path) -> int:
    """Returns a descriptor that locks a file of the directory until it is closed."""
    # A file open for writing: NFS has locks on those alone, and only they hold on other hosts as well.
    descriptor = os.open(RunDirectory(run).claim_file, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        lock_soon(descriptor)
    except BlockingIOError:
        os.close(descriptor)
        text = "another attempt at this run begins at this moment or goes on; wait for its end, or `hpcmtl cancel` it"
        raise EnvironmentUnfitError(f"{run}: {text}") from None
    except OSError:  # a file system without locks: there is nothing to decide by
        pass
    return descriptor

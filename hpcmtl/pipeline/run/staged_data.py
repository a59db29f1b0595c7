"""Copies of a job's data files on each node, for `stage: scratch`."""

from __future__ import annotations

import tempfile
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hpcmtl.data.staging import NodeCopies

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpcmtl.pipeline.prepare import Prepared
    from hpcmtl.results.rundir.directory import RunDirectory


@contextmanager
def staged_data(prepared: Prepared, directory: RunDirectory) -> Iterator[NodeCopies | None]:
    """Copies the data files to the folder for temporary files of this node while the ranks run; None without `stage`.

    Batch scripts set that folder to a new one below `scratch`, and remove it.
    """
    if prepared.job.stage is None:
        yield None
        return
    name = f"{zlib.crc32(str(directory.path.absolute()).encode()):08x}"
    with NodeCopies(list(prepared.files.values()), Path(tempfile.gettempdir()), name) as copies:
        yield copies

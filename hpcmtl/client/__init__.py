"""The Python interface to runs: their tasks, curves, predictions and networks, from run directories.

`hpcmtl.client.open` opens a run directory. Only what loads an artifact imports HDF5, and only `TaskHandle.network`
imports a framework.
"""

from __future__ import annotations

from hpcmtl.client.curves import TaskCurves
from hpcmtl.client.opening import open_run as open  # noqa: A004 - used with its module: `hpcmtl.client.open`
from hpcmtl.client.run import RunHandle
from hpcmtl.client.task import TaskHandle

__all__ = ["RunHandle", "TaskCurves", "TaskHandle", "open"]

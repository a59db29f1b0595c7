"""hpcmtl: one batch job for a family of dependent training tasks.

The public names are loaded on first use, so that `import hpcmtl` is cheap on a login node.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from hpcmtl._version import __version__

if TYPE_CHECKING:
    from hpcmtl.jobfile.schema import Job as Job
    from hpcmtl.jobfile.schema import make_task as Task
    from hpcmtl.pipeline.run.entry import run as run
    from hpcmtl.training.artifacts.load import load as load

__all__ = ["Job", "Task", "__version__", "load", "run"]

_PUBLIC = {
    "load": ("hpcmtl.training.artifacts.load", "load"),
    "Job": ("hpcmtl.jobfile.schema", "Job"),
    "Task": ("hpcmtl.jobfile.schema", "make_task"),
    "run": ("hpcmtl.pipeline.run.entry", "run"),
}


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'hpcmtl' has no attribute {name!r}")
    module, attribute = _PUBLIC[name]
    return getattr(importlib.import_module(module), attribute)

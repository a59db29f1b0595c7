"""hpcmtl: one batch job for a family of dependent training tasks.

The public names are loaded on first use, so that `import hpcmtl` is cheap on a login node.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from hpcmtl._version import __version__

if TYPE_CHECKING:
    from hpcmtl import client as client
    from hpcmtl.client.opening import run_job as run
    from hpcmtl.jobfile.in_code import JobInCode as Job
    from hpcmtl.jobfile.in_code import make_task as Task
    from hpcmtl.pipeline.run.options import RunOptions as RunOptions
    from hpcmtl.training.artifacts.load import load as load

__all__ = ["Job", "RunOptions", "Task", "__version__", "client", "load", "run"]

_PUBLIC = {  # name -> module and attribute; the module itself without one
    "client": ("hpcmtl.client", ""),
    "load": ("hpcmtl.training.artifacts.load", "load"),
    "Job": ("hpcmtl.jobfile.in_code", "JobInCode"),
    "Task": ("hpcmtl.jobfile.in_code", "make_task"),
    "RunOptions": ("hpcmtl.pipeline.run.options", "RunOptions"),
    "run": ("hpcmtl.client.opening", "run_job"),
}


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        hint = ""
        if not name.startswith("_"):  # Python and its tools ask for names of their own
            from hpcmtl.errors import nearest

            hint = nearest(name, _PUBLIC)
        raise AttributeError(f"module 'hpcmtl' has no attribute {name!r}{hint}")
    module, attribute = _PUBLIC[name]
    found = importlib.import_module(module)
    return getattr(found, attribute) if attribute else found


def __dir__() -> list[str]:
    return sorted(__all__)

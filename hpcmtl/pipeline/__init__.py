"""A job from its file to its results: where the parts are put together, and the only room that chooses adapters.

A job file names tasks; they form a task graph; rank 0 makes a layer plan; the dispatch runs layers on groups; results
come home.
"""

from hpcmtl.pipeline.prepare import Prepared, plan, prepare
from hpcmtl.pipeline.run import RunOptions, exit_code, run

__all__ = ["Prepared", "RunOptions", "exit_code", "plan", "prepare", "run"]

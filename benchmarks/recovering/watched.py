"""A rank of `hpcmtl` that records the start of every step; see `in_place.py`."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from hpcmtl import faults
from hpcmtl.cli.app import main

FOLDER = "HPCMTL_BENCHMARK_STEPS"
_step_point = faults.step_point


def _recording_step_point(task: str, layer: int, step: int | None = None, memory: Any = None) -> None:
    if step is not None:
        os.write(_file, f"{time.time():.6f} {task} {layer} {step}\n".encode())
    _step_point(task, layer, step, memory)


if __name__ == "__main__":
    _path = Path(os.environ[FOLDER]) / f"{os.environ['OMPI_COMM_WORLD_RANK']}.txt"
    _file = os.open(_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    faults.step_point = _recording_step_point
    sys.exit(main())

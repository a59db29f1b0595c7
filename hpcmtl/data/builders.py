"""The scripts in `datasets/`, which make the data files of the examples."""

from __future__ import annotations

import shlex
from pathlib import Path

BUILDERS = Path(__file__).resolve().parents[2] / "datasets"
"""Folder of the scripts; it is there in a checkout."""


def how_to_make(missing: Path) -> str:
    """Returns the end of a sentence on a data file that is not there: the command that makes it, or where to look."""
    script = BUILDERS / f"{missing.stem}.py"
    if missing.suffix == ".h5" and missing.stem not in {"builder", "__init__"} and script.is_file():
        return f"; make it: python {shlex.quote(str(script))} --out {shlex.quote(str(missing))}"
    return "; paths are relative to the folder of the job file, or for a job made in code to the working directory"

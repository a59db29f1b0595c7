"""The file of the exit code for the process that started the ranks: mpirun gives another code after some ends."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

EXIT_CODE_FILE = "HPCMTL_EXIT_CODE_FILE"
"""Environment variable with its path; unset where a user started the ranks."""


def write_exit_code(code: int, *, first: bool = False) -> None:
    """Writes the exit code; without the directory no file is written, and on a full file system an empty one.

    Args:
        code: exit code.
        first: true to leave the code that another rank has written.
    """
    place = os.environ.get(EXIT_CODE_FILE)
    if place and Path(place).parent.is_dir():
        with suppress(OSError), Path(place).open("x" if first else "w", encoding="utf-8") as file:
            file.write(str(code))

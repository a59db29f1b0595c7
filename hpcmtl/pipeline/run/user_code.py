"""Checksums of the users' modules, by which a resumed run says what was edited since its tasks began."""

from __future__ import annotations

import hashlib
import json
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

from hpcmtl.errors import InputError, Problem
from hpcmtl.results.rundir.directory import write_json_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hpcmtl.results.rundir.directory import RunDirectory

_PACKAGE = Path(__file__).resolve().parents[2]


def note_code(run: RunDirectory, folders: Iterable[Path]) -> list[Path]:
    """Keeps the checksums of the users' modules in the run directory.

    Args:
        run: the run directory.
        folders: folders of users' modules.

    Returns:
        The modules that earlier attempts had with other content.

    Raises:
        InputError: the checksums of earlier attempts cannot be read.
    """
    known = _read(run.code_file)
    found = {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in imported_modules(folders)}
    write_json_atomically(run.code_file, {**known, **found})
    return [Path(path) for path, checksum in found.items() if known.get(path, checksum) != checksum]


def imported_modules(folders: Iterable[Path]) -> list[Path]:
    """Returns the source files of imported modules below the folders, but for those of installed packages."""
    installed = {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    below = [folder.resolve() for folder in folders]
    files = {Path(file).resolve() for module in [*sys.modules.values()] if (file := getattr(module, "__file__", None))}
    return sorted(
        file
        for file in files
        if any(file.is_relative_to(folder) for folder in below)
        and not any(file.is_relative_to(folder) for folder in (*installed, _PACKAGE))
        and file.is_file()
    )


def _read(record: Path) -> dict[str, str]:
    if not record.exists():
        return {}
    try:
        values = json.loads(record.read_text(encoding="utf-8"))
        return {str(path): str(checksum) for path, checksum in values.items()}
    except (OSError, ValueError, AttributeError) as error:
        text = f"cannot be read ({error}); remove it to go on without a comparison of your modules"
        raise InputError([Problem(str(record), text)]) from error

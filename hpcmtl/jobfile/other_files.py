"""Messages for paths that are no job file: what they are, and which job file may be meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.errors import close_to

if TYPE_CHECKING:
    from pathlib import Path

_ENDINGS = frozenset({".yaml", ".yml", ".toml", ".json"})
_HDF5 = b"\x89HDF\r\n\x1a\n"
_SHOWN = 5


def unreadable(file: Path, error: OSError | UnicodeDecodeError) -> str:
    """Returns why a path cannot be read as a job file, and what was expected."""
    if isinstance(error, UnicodeDecodeError):
        if file.read_bytes()[: len(_HDF5)] == _HDF5:
            return "is an HDF5 file; a job file (YAML or TOML) was expected, which names data files under `data`"
        return f"cannot read the job file: {error}; save it as UTF-8"
    if isinstance(error, IsADirectoryError):
        return f"is a folder; a job file (YAML or TOML) was expected{_among(file, '')}"
    meant = _among(file.parent, file.name) if isinstance(error, FileNotFoundError) else ""
    return f"cannot read the job file: {error.strerror}{meant}"


def _among(folder: Path, name: str) -> str:
    """Returns a hint at the files of a folder that may be job files."""
    try:
        found = sorted(each.name for each in folder.iterdir() if each.suffix in _ENDINGS and each.is_file())
    except OSError:
        return ""
    close = found[0] if len(found) == 1 else close_to(name, found)
    if close is not None:
        return f"; did you mean {str(folder / close)!r}?"
    return f"; there are {', '.join(found[:_SHOWN])}{' ...' if len(found) > _SHOWN else ''}" if found else ""

"""Site profiles: settings for all jobs of one cluster, in ``~/.config/hpcmtl/sites/NAME.yaml`` or any file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from hpcmtl.errors import InputError, Problem, nearest
from hpcmtl.jobfile.explanations import findings
from hpcmtl.jobfile.load import locate
from hpcmtl.jobfile.read import read_values
from hpcmtl.jobfile.slurm import Site

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT = "default"  # used if no profile is named
_ENDINGS = (".yaml", ".yml", ".toml")


def sites_directory(environ: Mapping[str, str] = os.environ) -> Path:
    """Returns the directory of named profiles, below XDG_CONFIG_HOME or ~/.config."""
    home = environ.get("XDG_CONFIG_HOME", "")  # a relative path is ignored, as the XDG specification says
    base = Path(home) if os.path.isabs(home) else Path(environ.get("HOME") or Path.home()) / ".config"  # noqa: PTH117
    return base / "hpcmtl" / "sites"


def find_site(name: str | None, environ: Mapping[str, str] = os.environ) -> Path | None:
    """Returns the file of a profile.

    Args:
        name: name of a profile, or a path (with a slash or a suffix); None for the profile `default`, if it exists.
        environ: the environment.

    Raises:
        InputError: there is no such profile.
    """
    folder = sites_directory(environ)
    if name is not None and ("/" in name or name.endswith(_ENDINGS)):
        if Path(name).is_file():
            return Path(name)
        raise InputError([Problem(f"site {name}", "there is no such file")])
    for ending in _ENDINGS:
        file = folder / f"{name or DEFAULT}{ending}"
        if file.is_file():
            return file
    if name is None:
        return None
    there = {file.stem for file in folder.glob("*") if file.suffix in _ENDINGS}
    raise InputError([Problem(f"site {name}", f"no profile of that name in {folder}{nearest(name, there)}")])


def read_site(file: Path) -> Site:
    """Reads and checks a profile.

    Raises:
        InputError: the profile is invalid; lists all problems with file, key and line.
    """
    raw, places = read_values(file)
    found = findings(Site, raw)
    if found:
        raise InputError(locate(found, str(file), places))
    return Site.model_validate(raw)

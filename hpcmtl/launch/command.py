"""From a job's resources to the command that starts its ranks; the launchers' flags are in ``launchers/*.sh``."""

from __future__ import annotations

import site
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

import hpcmtl
from hpcmtl.errors import EnvironmentUnfitError

if TYPE_CHECKING:
    from collections.abc import Sequence


def mpirun_command(ranks: int, program: Sequence[str]) -> list[str]:
    """Return the command that starts `program` on `ranks` ranks of this host, or of the Slurm allocation it is in.

    Args:
        ranks: number of ranks, at least 1.
        program: words of the program; one given by path gets the ``mpirun`` beside it, that of its own environment.

    Raises:
        EnvironmentUnfitError: the launchers are not installed.
    """
    return [str(_launcher("mpirun.sh")), "-np", str(ranks), *program]


def _launcher(name: str) -> Path:
    """Find a launcher in the checkout that hpcmtl runs from, or where setup.py has installed it."""
    folders = [
        Path(hpcmtl.__file__).resolve().parent.parent / "launchers",
        Path(sysconfig.get_path("data")) / "share/hpcmtl/launchers",
        Path(site.getuserbase()) / "share/hpcmtl/launchers",
    ]
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    looked = ", ".join(str(folder) for folder in folders)
    raise EnvironmentUnfitError(
        f"launcher {name} not found in {looked}: install hpcmtl with pip from its checkout, "
        "or start the ranks yourself: mpirun -np RANKS hpcmtl run JOB.yaml"
    )

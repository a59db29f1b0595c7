"""Commands that start the ranks; the launchers' flags are in ``launchers/*.sh``."""

from __future__ import annotations

import site
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

from hpcmtl.errors import EnvironmentUnfitError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.launch.hosts import Host

ROOT = Path(__file__).resolve().parents[2]  # the checkout, unless hpcmtl is installed


def mpirun_command(ranks: int, program: Sequence[str], hosts: Sequence[Host] = ()) -> list[str]:
    """Returns the command that starts `program` on some ranks.

    Args:
        ranks: number of ranks, at least 1.
        program: program and arguments; for a program given by path, ``mpirun`` is taken from the same directory.
        hosts: hosts of the ranks; without them this host, or the nodes of the current Slurm allocation.

    Raises:
        EnvironmentUnfitError: the launchers are not installed.
    """
    of_hosts = ["-H", ",".join(map(str, hosts))] if hosts else []
    return [str(launcher("mpirun")), "-np", str(ranks), *of_hosts, *program]


def launcher(name: str) -> Path:
    """Returns the script of a launcher, such as ``mpirun``.

    Raises:
        EnvironmentUnfitError: the launchers are not installed.
    """
    return shipped("launchers", f"{name}.sh")


def shipped(folder: str, name: str) -> Path:
    """Returns a file of the checkout that hpcmtl runs from, or its installed copy.

    Raises:
        EnvironmentUnfitError: it is not installed.
    """
    folders = [
        ROOT / folder,
        Path(sysconfig.get_path("data")) / "share/hpcmtl" / folder,
        Path(site.getuserbase()) / "share/hpcmtl" / folder,
    ]
    for place in folders:
        if (place / name).is_file():
            return place / name
    searched = ", ".join(str(place) for place in folders)
    raise EnvironmentUnfitError(
        f"{folder}/{name} not found in {searched}: install hpcmtl with pip from its checkout, "
        "or start the ranks yourself: mpirun -np RANKS hpcmtl run JOB.yaml"
    )

"""Durations that a user sets by environment variables: bounds on waiting, in seconds."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hpcmtl.errors import EnvironmentUnfitError

if TYPE_CHECKING:
    from collections.abc import Mapping

SECONDS_TO_START = 300.0
"""Default of HPCMTL_START_SECONDS; thousands of ranks may take minutes to import their libraries from a file system."""

SECONDS_UNTIL_HUNG = 60.0
"""Default of HPCMTL_HUNG_SECONDS: seconds without a heartbeat after which a suspected rank counts as hung."""

SECONDS_OF_GRACE, SECONDS_OF_GRACE_IN_SLURM = 30.0, 25.0
"""Defaults of HPCMTL_GRACE_SECONDS: seconds from SIGTERM to the end of ranks that have not stopped."""


def heartbeat_seconds(default: float, environ: Mapping[str, str] = os.environ) -> float:
    """Returns the seconds between two heartbeats of a rank: HPCMTL_HEARTBEAT, or the default.

    Raises:
        EnvironmentUnfitError: the variable is no such number of seconds.
    """
    return _seconds("HPCMTL_HEARTBEAT", (0.05, 3600), default, environ)


def hung_seconds(environ: Mapping[str, str] = os.environ) -> float:
    """Returns the seconds after which a suspected rank counts as hung: HPCMTL_HUNG_SECONDS, or 60; 0 for never.

    Raises:
        EnvironmentUnfitError: the variable is no such number of seconds.
    """
    return _seconds("HPCMTL_HUNG_SECONDS", (0, 86400), SECONDS_UNTIL_HUNG, environ)


def stuck_seconds(environ: Mapping[str, str] = os.environ) -> float | None:
    """Returns the seconds without a report after which a layer counts as stuck: HPCMTL_STUCK_SECONDS; 0 for never.

    Returns:
        The seconds; None without the variable: the bound follows from the measured time of steps.

    Raises:
        EnvironmentUnfitError: the variable is no such number of seconds.
    """
    return _seconds("HPCMTL_STUCK_SECONDS", (0, 604800), 600, environ) if environ.get("HPCMTL_STUCK_SECONDS") else None


def start_seconds(environ: Mapping[str, str] = os.environ) -> float:
    """Returns the seconds within which MPI must have started on all ranks: HPCMTL_START_SECONDS, or 300; 0 for ever.

    Raises:
        EnvironmentUnfitError: the variable is no such number of seconds.
    """
    return _seconds("HPCMTL_START_SECONDS", (0, 86400), SECONDS_TO_START, environ)


def grace_seconds(environ: Mapping[str, str] = os.environ) -> float:
    """Returns the seconds that layers have to stop in after SIGTERM: HPCMTL_GRACE_SECONDS, or 30; 0 for ever.

    In a Slurm job the default is 25: Slurm kills what is left 30 s after its own SIGTERM (KillWait).

    Raises:
        EnvironmentUnfitError: the variable is no such number of seconds.
    """
    default = SECONDS_OF_GRACE_IN_SLURM if environ.get("SLURM_JOB_ID") else SECONDS_OF_GRACE
    return _seconds("HPCMTL_GRACE_SECONDS", (0, 86400), default, environ)


def _seconds(name: str, span: tuple[float, float], default: float, environ: Mapping[str, str]) -> float:
    text = environ.get(name, "") or str(default)
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not span[0] <= seconds <= span[1]:
        raise EnvironmentUnfitError(
            f"{name}={text!r} is no time between {span[0]:g} and {span[1]:g} seconds; write {default:g}"
        )
    return seconds

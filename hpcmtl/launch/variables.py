"""Check of all environment variables of hpcmtl before a rank is started."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from hpcmtl.faults import requested
from hpcmtl.launch.durations import grace_seconds, heartbeat_seconds, hung_seconds, start_seconds, stuck_seconds
from hpcmtl.launch.environment import columns, require_time
from hpcmtl.launch.resources.world import given_speeds

if TYPE_CHECKING:
    from collections.abc import Mapping


def check_settings(ranks: int, environ: Mapping[str, str] = os.environ) -> None:
    """Checks the variables HPCMTL_*, and the time limit, that a run on `ranks` ranks would refuse later.

    Raises:
        EnvironmentUnfitError: a value is invalid; the message names the variable.
    """
    require_time(time.time(), environ)
    requested(environ)
    heartbeat_seconds(1.0, environ)
    hung_seconds(environ)
    start_seconds(environ)
    stuck_seconds(environ)
    grace_seconds(environ)
    columns(environ)
    given_speeds(ranks, environ)

"""Refuses environment variables that MXNet 1.9.1 reads by itself and cannot use: many end the process by a signal."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from hpcmtl.errors import EnvironmentUnfitError

if TYPE_CHECKING:
    from collections.abc import Mapping

# Each variable of libmxnet.so was tried with the value "abc": these parse a number or a truth value, and raise in C++.
_NUMBERS = re.compile(
    r"MXNET_((CPU|DISABLE_MKLDNN|EXEC|KVSTORE|MKLDNN|MP|OMP|PROFILER)_\w+"
    r"|GPU_(PARALLEL_RAND_COPY|\w+_NTHREADS|TEMP_COPY)|\w+_VERBOSE_LOGGING"
    r"|BACKWARD_DO_MIRROR|ELIMINATE_COMMON_EXPR|ENGINE_INFO|OUTPUT_TUNING_DATA|SAFE_ACCUMULATION)"
)
_NUMBER = re.compile(r"\s*([-+]?\d+(\.\d*)?|true|false)\s*", re.IGNORECASE)
_ENGINES = ("NaiveEngine", "ThreadedEngine", "ThreadedEnginePerDevice")
_ROLES = ("scheduler", "server")


def require_settings(environ: Mapping[str, str] = os.environ) -> None:
    """Checks the variables that MXNet reads while it is imported or runs its first operators.

    Raises:
        EnvironmentUnfitError: a value is unusable; the message names the variable.
    """
    threads = environ.get("OMP_NUM_THREADS", "")
    if threads and not re.fullmatch(r"\s*0*[1-9]\d{0,4}\s*", threads):
        raise EnvironmentUnfitError(
            f"OMP_NUM_THREADS={threads!r} is no whole number of threads from 1 on, and MXNet takes no list: "
            "unset it, or write one number, such as 4"
        )
    for name, value in environ.items():
        if value and _NUMBERS.fullmatch(name) and not _NUMBER.fullmatch(value):
            raise EnvironmentUnfitError(
                f"{name}={value!r} is no number, which MXNet expects: unset it, or write 0 or 1"
            )
    engine, role = environ.get("MXNET_ENGINE_TYPE", ""), environ.get("DMLC_ROLE", "")
    if engine and engine not in _ENGINES:
        raise EnvironmentUnfitError(
            f"MXNET_ENGINE_TYPE={engine!r} is unknown to MXNet: use one of {', '.join(_ENGINES)}"
        )
    if role in _ROLES:
        raise EnvironmentUnfitError(
            f"DMLC_ROLE={role} makes each process that imports MXNet a {role} of a parameter server, which trains "
            "nothing: unset it"
        )

"""Checks an installation of MXNet and Horovod, in child processes: a broken library ends the child alone."""

from __future__ import annotations

import platform
import sys
from typing import TYPE_CHECKING

from hpcmtl.launch.checks import BOOTSTRAP, Check, on_gpus, outcome, run_child
from hpcmtl.launch.run_facts import installed_version

if TYPE_CHECKING:
    from collections.abc import Callable

_MXNET = """
import json
from hpcmtl.training.gluon.compat import import_mxnet
mx = import_mxnet()
found = float((mx.nd.ones((2, 2)) * 2).sum().asscalar())
if found != 8:
    raise SystemExit(f"mxnet computes 8 as {found}")
from hpcmtl.launch.resources.gpus import visible_gpus
from hpcmtl.training.gluon.context import gpu_problem
gpus = [gpu_problem(number) for number in range(len(visible_gpus()))]
print(json.dumps({"mxnet": mx.__version__, "gpus": gpus}))
"""
_HOROVOD = """
import json
from hpcmtl.training.gluon.compat import import_horovod
import_horovod()
print(json.dumps({}))
"""


def _python() -> Check:
    fits = (3, 10) <= sys.version_info[:2] < (3, 12)
    remedy = "use CPython 3.10 or 3.11: mxnet 1.9.1 works with no later one"
    return outcome("Python", fits, platform.python_version(), remedy)


def _numpy() -> Check:
    found = installed_version("numpy")
    numbers = [int(part) for part in (found or "0.0").split(".")[:2]]
    return outcome("numpy", [1, 23] <= numbers < [2, 0], found or "missing", "install 'numpy>=1.23,<2'")


def _mxnet() -> Check:
    answer = run_child([sys.executable, "-c", _MXNET])
    if "error" in answer:
        return outcome("mxnet", False, answer["error"], BOOTSTRAP)
    return outcome("mxnet", True, f"{answer['mxnet']} imports and computes{on_gpus(answer['gpus'])}", "")


def _horovod() -> Check:
    answer = run_child([sys.executable, "-c", _HOROVOD])
    found = answer.get("error") or f"{installed_version('horovod')} with MXNet, MPI and Gloo"
    remedy = f"{BOOTSTRAP}; without Horovod tasks train with `engine: kvstore`"
    return outcome("Horovod", "error" not in answer, found, remedy)


CHECKS: tuple[Callable[[], Check], ...] = (_python, _numpy, _mxnet, _horovod)

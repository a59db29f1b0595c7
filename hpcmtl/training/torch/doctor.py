"""Checks an installation of PyTorch, in a child process: a broken library ends the child alone."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from hpcmtl.launch.checks import Check, on_gpus, outcome, run_child

if TYPE_CHECKING:
    from collections.abc import Callable

_TORCH = """
import json
from hpcmtl.training.torch.compat import import_torch
torch = import_torch()
found = float((torch.ones((2, 2)) * 2).sum())
if found != 8:
    raise SystemExit(f"torch computes 8 as {found}")
from hpcmtl.launch.resources.gpus import visible_gpus
from hpcmtl.training.torch.place import gpu_problem
gpus = [gpu_problem(number) for number in range(len(visible_gpus()))]
print(json.dumps({"torch": torch.__version__, "gpus": gpus}))
"""


def _torch() -> Check:
    answer = run_child([sys.executable, "-c", _TORCH])
    if "error" in answer:
        return outcome("PyTorch", False, answer["error"], "HPCMTL_FRAMEWORKS=mxnet,torch launchers/bootstrap.sh")
    return outcome("PyTorch", True, f"{answer['torch']} imports and computes{on_gpus(answer['gpus'])}", "")


CHECKS: tuple[Callable[[], Check], ...] = (_torch,)

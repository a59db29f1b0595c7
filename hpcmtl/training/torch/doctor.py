"""Checks an installation of PyTorch, in a child process: a broken library ends the child alone."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from hpcmtl.launch.checks import Check, outcome, run_child

if TYPE_CHECKING:
    from collections.abc import Callable

_TORCH = """
import json
from hpcmtl.training.torch.compat import import_torch
torch = import_torch()
found = float((torch.ones((2, 2)) * 2).sum())
if found != 8:
    raise SystemExit(f"torch computes 8 as {found}")
print(json.dumps({"torch": torch.__version__}))
"""


def _torch() -> Check:
    answer = run_child([sys.executable, "-c", _TORCH])
    found = answer.get("error") or f"{answer['torch']} imports and computes"
    return outcome("PyTorch", "error" not in answer, found, "HPCMTL_FRAMEWORKS=mxnet,torch launchers/bootstrap.sh")


CHECKS: tuple[Callable[[], Check], ...] = (_torch,)

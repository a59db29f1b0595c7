"""Defines the checks of the doctor, and runs the child programs that they need."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpcmtl.launch.environment import without_launcher

if TYPE_CHECKING:
    from collections.abc import Sequence

BOOTSTRAP = "run launchers/bootstrap.sh"
SECONDS_FOR_CHILD = 60
_ERROR_CLASS = "hpcmtl.errors.EnvironmentUnfitError: "


@dataclass(frozen=True)
class Check:
    """The outcome of one check.

    Attributes:
        name: name of the checked component.
        ok: true if a job can run with what was found.
        found: version or state that was found.
        remedy: action that repairs it; empty if `ok`.
    """

    name: str
    ok: bool
    found: str
    remedy: str


def outcome(name: str, ok: bool, found: str, remedy: str) -> Check:
    """Return the outcome of a check; the remedy is kept for a failure alone."""
    return Check(name, ok, found, "" if ok else remedy)


def on_gpus(problems: Sequence[str | None]) -> str:
    """Returns the end of a sentence on a framework that computes: on which of the GPUs here it does too.

    Args:
        problems: for each GPU the reason for which the framework cannot compute on it; None if it can.
    """
    if not problems:
        return ""
    failed = {number: text for number, text in enumerate(problems) if text}
    fine = f", also on {len(problems) - len(failed)} of {len(problems)} GPUs"
    return fine if not failed else f"{fine}; GPU {min(failed)}: {failed[min(failed)]}"


def run_child(command: Sequence[str]) -> dict[str, Any]:
    """Run a child program that prints one line of JSON.

    A broken library ends the child alone.

    Returns:
        The printed object, or ``{"error": reason}`` if there is none within `SECONDS_FOR_CHILD`.
    """
    try:
        child = subprocess.run(  # noqa: S603 - programs of the checks themselves
            command, capture_output=True, text=True, check=False, timeout=SECONDS_FOR_CHILD, env=without_launcher()
        )
    except subprocess.TimeoutExpired:
        return {"error": f"no answer within {SECONDS_FOR_CHILD} s"}
    except OSError as error:
        return {"error": str(error)}
    for line in child.stdout.splitlines():
        if line.startswith("{"):
            answer: dict[str, Any] = json.loads(line)
            return answer
    lines = [line.strip() for line in child.stderr.splitlines() if line.strip()]
    # A traceback ends with its reason; mpirun puts rulers around its messages.
    reasons = [line for line in lines if re.match(r"[\w.]+(Error|Exception)\b", line)] or lines or [""]
    return {"error": f"{reasons[-1].removeprefix(_ERROR_CLASS)} (exit {child.returncode})"}

"""Slurm's job states: a table that maps each to a small closed set of phases and to a hint."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Phase = Literal[
    "pending",
    "running",
    "suspended",
    "requeued",
    "ended-complete",
    "ended-failed",
    "ended-cancelled",
    "ended-time",
    "ended-memory",
    "ended-node",
    "ended-preempted",
    "unknown",
]
LIVE: tuple[Phase, ...] = ("running", "suspended", "requeued", "pending")  # phases of a job that may still run

_TIME = "give it more time, or let it requeue: `hpcmtl resume RUN` goes on from the checkpoints"
_MEMORY = (
    "a node ran out of the memory that the job asked for: ask for more (`--mem`), use fewer ranks a node, a smaller "
    "batch or less `artifact_memory`; copies in /dev/shm count too"
)
_NODE = "a node failed: `hpcmtl resume RUN`, or the requeue, goes on from the checkpoints on other nodes"
_HELD = "it is held: `scontrol release JOB` lets it start"

# https://slurm.schedmd.com/squeue.html#SECTION_JOB-STATE-CODES, states of Slurm 22.05 and later.
STATES: Mapping[str, tuple[Phase, str]] = {
    "BOOT_FAIL": ("ended-node", "its nodes did not boot: submit again, and tell the site if it happens again"),
    "CANCELLED": ("ended-cancelled", ""),
    "COMPLETED": ("ended-complete", ""),
    "COMPLETING": ("running", "it is ending"),
    "CONFIGURING": ("pending", "its nodes are being made ready"),
    "DEADLINE": ("ended-time", "it could not end before its `--deadline`: submit with a later one, or without"),
    "EXPEDITING": ("pending", ""),
    "FAILED": ("ended-failed", ""),
    "LAUNCH_FAILED": ("ended-node", "it could not be started on its nodes: submit again"),
    "NODE_FAIL": ("ended-node", _NODE),
    "OUT_OF_MEMORY": ("ended-memory", _MEMORY),
    "PENDING": ("pending", ""),
    "POWER_UP_NODE": ("pending", "its nodes are being powered up"),
    "PREEMPTED": ("ended-preempted", "another job took its nodes: `hpcmtl resume RUN` goes on from the checkpoints"),
    "RECONFIG_FAIL": ("ended-node", "its nodes could not be configured: submit again"),
    "REQUEUED": ("requeued", ""),
    "REQUEUE_FED": ("requeued", ""),
    "REQUEUE_HOLD": ("requeued", _HELD),
    "RESIZING": ("running", ""),
    "RESV_DEL_HOLD": ("pending", f"its reservation is gone; {_HELD}"),
    "REVOKED": ("unknown", "another cluster of the federation has taken it: query that cluster"),
    "RUNNING": ("running", ""),
    "SIGNALING": ("running", ""),
    "SPECIAL_EXIT": ("requeued", f"it was requeued for its exit code; {_HELD}"),
    "STAGE_OUT": ("running", "it is ending: files are copied out"),
    "STOPPED": ("suspended", "its processes were stopped: `scontrol` or SIGCONT continues them"),
    "SUSPENDED": ("suspended", "another job uses its cores for a while, or a user suspended it"),
    "TIMEOUT": ("ended-time", _TIME),
}
# Reasons of a pending job that do not resolve by themselves. squeue shows a job held after a requeue as PENDING.
_REASONS: Mapping[str, str] = {
    "BadConstraints": "no nodes of this cluster satisfy its request: cancel it, and request less",
    "DependencyNeverSatisfied": "it will never start: cancel it, and submit again",
    "JobHeldAdmin": "an administrator holds it: ask the site",
    "JobHeldUser": _HELD,
    "PartitionNodeLimit": "it requests more nodes than its partition allows: cancel it, and request less",
    "PartitionTimeLimit": "it requests more time than its partition allows: cancel it, and request less",
    "job requeued in held state": _HELD,
    "launch failed requeued held": f"it could not be started on its nodes; {_HELD}",
}
_STATE = re.compile(r"([A-Z][A-Z_]*)\+?(?: by (\S+))?", re.ASCII)


@dataclass(frozen=True)
class SlurmJobState:
    """Holds the state of one job.

    Attributes:
        job: ID, as in the query.
        state: Slurm's name of the state, e.g. ``OUT_OF_MEMORY``; empty if Slurm reported none.
        source: command that reported it: squeue, scontrol or sacct; empty if none did.
        reason: Slurm's reason for waiting or ending.
        by: ID of the user that cancelled it.
        exit_code: ``code:signal``.
        start: actual or expected start in Slurm's format: local time without a zone.
        nodes: Slurm's list of its nodes.
        command: path of its script with the arguments; empty if it was not found by its script.
    """

    job: str
    state: str = ""
    source: str = ""
    reason: str = ""
    by: str = ""
    exit_code: str = ""
    start: str = ""
    nodes: str = ""
    command: str = ""

    @property
    def phase(self) -> Phase:
        """Meaning of the state; `unknown` does not mean running."""
        return STATES.get(self.state, ("unknown", ""))[0]

    @property
    def hint(self) -> str:
        """Advice to the user; may be empty."""
        hint = STATES.get(self.state, ("unknown", ""))[1]
        if not hint and self.phase == "pending":
            hint = _REASONS.get(self.reason, "") or _REASONS.get(self.reason.replace("_", " "), "")
        return hint.replace("JOB", self.job)


def parse_state(text: str) -> tuple[str, str]:
    """Splits a state such as ``CANCELLED by 123`` into Slurm's name and the user ID.

    Returns:
        State and user ID; both are empty if the text is not a state. An unknown state is returned as it is.
    """
    found = _STATE.fullmatch(text.strip())
    return (found[1], found[2] or "") if found else ("", "")


def combined_state(states: Iterable[SlurmJobState]) -> SlurmJobState | None:
    """Returns the state of several jobs together: a live job first, then the latest that ended, then unknown ones.

    A run may have several jobs (a successor submitted after a loss), and a job several records (an array).
    """
    ranks = {phase: place for place, phase in enumerate(LIVE)} | {"unknown": len(LIVE) + 1}
    return min(reversed(list(states)), key=lambda state: ranks.get(state.phase, len(LIVE)), default=None)

"""What Slurm's states mean to us: one table, a small closed set of phases, and a hint where one helps."""

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
LIVE: tuple[Phase, ...] = ("running", "suspended", "requeued", "pending")  # phases of a job that may still do something

_TIME = "give it more time, or let it requeue: `hpcmtl resume RUN` goes on from the checkpoints"
_MEMORY = (
    "a node ran out of the memory that the job asked for: ask for more (`--mem`), use fewer ranks a node, a smaller "
    "batch or less `artifact_memory`; copies in /dev/shm count too"
)
_NODE = "a node failed: `hpcmtl resume RUN`, or the requeue, goes on from the checkpoints on other nodes"
_HELD = "it is held: `scontrol release JOB` lets it start"

# https://slurm.schedmd.com/squeue.html#SECTION_JOB-STATE-CODES, those of 22.05 and what came later.
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
    "REVOKED": ("unknown", "another cluster of the federation has taken it: ask there"),
    "RUNNING": ("running", ""),
    "SIGNALING": ("running", ""),
    "SPECIAL_EXIT": ("requeued", f"it was requeued for its exit code; {_HELD}"),
    "STAGE_OUT": ("running", "it is ending: files are copied out"),
    "STOPPED": ("suspended", "somebody stopped its processes: `scontrol` or a SIGCONT lets them go on"),
    "SUSPENDED": ("suspended", "another job has its cores for a while, or somebody suspended it"),
    "TIMEOUT": ("ended-time", _TIME),
}
# Why a job waits, where that does not pass by itself; squeue shows what is held after a requeue as PENDING.
_REASONS: Mapping[str, str] = {
    "BadConstraints": "no nodes of this cluster are what it asks for: cancel it, and ask for less",
    "DependencyNeverSatisfied": "it will never start: cancel it, and submit again",
    "JobHeldAdmin": "an administrator holds it: ask the site",
    "JobHeldUser": _HELD,
    "PartitionNodeLimit": "it asks for more nodes than its partition gives: cancel it, and ask for less",
    "PartitionTimeLimit": "it asks for more time than its partition gives: cancel it, and ask for less",
    "job requeued in held state": _HELD,
    "launch failed requeued held": f"it could not be started on its nodes; {_HELD}",
}
_WORDS = re.compile(r"([A-Z][A-Z_]*)\+?(?: by (\S+))?", re.ASCII)


@dataclass(frozen=True)
class SlurmJobState:
    """What Slurm says of one job.

    Attributes:
        job: its ID, as it was asked for.
        state: Slurm's own word, e.g. ``OUT_OF_MEMORY``; empty if Slurm said nothing of it.
        source: squeue, scontrol or sacct; empty if none said anything.
        reason: why it waits or ended, in Slurm's words.
        by: user ID of who cancelled it.
        exit_code: ``code:signal``.
        start: when it began, or is expected to, as Slurm writes it: local time without a zone.
        nodes: Slurm's list of its nodes.
    """

    job: str
    state: str = ""
    source: str = ""
    reason: str = ""
    by: str = ""
    exit_code: str = ""
    start: str = ""
    nodes: str = ""

    @property
    def phase(self) -> Phase:
        """What the state means; unknown is not running."""
        return STATES.get(self.state, ("unknown", ""))[0]

    @property
    def hint(self) -> str:
        """What to do about it; empty where nothing is."""
        hint = STATES.get(self.state, ("unknown", ""))[1]
        if not hint and self.phase == "pending":
            hint = _REASONS.get(self.reason, "") or _REASONS.get(self.reason.replace("_", " "), "")
        return hint.replace("JOB", self.job)


def parse_state(text: str) -> tuple[str, str]:
    """Part a state as a command prints it, e.g. ``CANCELLED by 123``, into Slurm's word and who.

    Returns:
        State and user ID; both empty for what is no state at all, the first kept where it is one that we do not know.
    """
    found = _WORDS.fullmatch(text.strip())
    return (found[1], found[2] or "") if found else ("", "")


def sum_up(words: Iterable[SlurmJobState]) -> SlurmJobState | None:
    """The word that tells of all: what still does something first, then what ended, the later first, then the rest.

    A run may have several jobs (a successor submitted for what was cut off), and a job several records (an array).
    """
    ranks = {phase: place for place, phase in enumerate(LIVE)} | {"unknown": len(LIVE) + 1}
    return min(reversed(list(words)), key=lambda word: ranks.get(word.phase, len(LIVE)), default=None)

"""A layer that runs, as the coordinator sees it, and the error for one that cannot end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hpcmtl.dispatch.membership.world import Members
    from hpcmtl.dispatch.protocol import LayerFailed
    from hpcmtl.results.step_progress import StepProgress
    from hpcmtl.training.session import LayerOutcome


class UnrecoverableError(Exception):
    """The run must be ended: a rank failed alone and its group is stuck, or a rank hangs and cannot be killed."""


class StopNowError(Exception):
    """The run must be ended now with its record, while layers run: they do not stop, or a disk is full."""


@dataclass
class Running:
    """A layer that runs.

    Attributes:
        layer: number of the layer.
        group: members of its group; after a loss those that are left.
        started: seconds of its start.
        last_report: seconds of the last report of a member.
        opened: whether its members had to open a session for it.
        late: whether it has been recorded as late.
        reported: members that are not waited for: they finished, failed, or never got the command to start.
        outcome: outcome that the first member of the group reported.
        failures: exceptions that its members reported.
        deadline: seconds by which the others must have reported after a failure; None without one.
        halted: whether its members were ordered to stop it.
        start_number: number of this start, counted over the attempt.
        lost_rank: whether it lost a member, or cannot end for another reason after a loss.
        lost: members of its group that died.
        not_begun: living members that never got the command to start.
        expected: seconds between the last report of progress and the next one; None if it is unknown.
        silent: seconds since the last report, without those in which this process was stopped.
        paced: whether a member has reported progress.
        longest_pause: longest silence between two reports of progress that other work than steps made, in seconds.
        stuck: seconds of silence after which it was given up; 0 if it was not.
        places: member -> place in the code where its main thread was when the layer was given up.
    """

    layer: int
    group: Members
    started: float
    last_report: float
    opened: bool = True
    late: bool = False
    reported: set[int] = field(default_factory=set)
    outcome: LayerOutcome | None = None
    failures: list[LayerFailed] = field(default_factory=list)
    deadline: float | None = None
    halted: bool = False
    start_number: int = 0
    lost_rank: bool = False
    lost: set[int] = field(default_factory=set)
    not_begun: set[int] = field(default_factory=set)
    expected: float | None = None
    silent: float = 0.0
    paced: bool = False
    longest_pause: float = 0.0
    stuck: float = 0.0
    places: dict[int, str] = field(default_factory=dict)

    def heard(self, now: float) -> None:
        """Takes note of a report of a member."""
        self.last_report, self.silent = now, 0.0

    def progressed(self, now: float, progress: StepProgress) -> None:
        """Takes note of a report of progress, which tells when the next one comes."""
        if self.paced and self.expected is None:
            self.longest_pause = max(self.longest_pause, self.silent)
        self.paced, self.expected = True, progress.seconds_to_next
        self.heard(now)


def unrecoverable(running: Running) -> UnrecoverableError | StopNowError:
    """Returns the error for a layer that some of its members have not left in time."""
    missing = sorted(set(running.group) - running.reported)
    ranks = f"rank{'s' if len(missing) > 1 else ''} {', '.join(map(str, missing))}"
    if not running.failures:
        return StopNowError(f"{ranks} cannot be told to leave a layer that was given up after {running.stuck:.0f} s")
    failure = running.failures[0]
    if failure.no_space:  # on one rank alone
        return StopNowError(f"{failure.message}, and {ranks} cannot go on without rank {failure.member}")
    return UnrecoverableError(
        f"rank {failure.member} failed alone in task {failure.task}, layer {failure.layer}: {failure.message}; "
        f"{ranks} cannot go on without it"
    )

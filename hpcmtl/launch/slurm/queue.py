"""What Slurm says of jobs: squeue, then `scontrol show job`, then sacct, each of which may be missing, slow or wrong.

Whoever asks for a run goes through `queuebound`, which keeps the bound of once every 30 s.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from hpcmtl.errors import EnvironmentUnfitError
from hpcmtl.launch.slurm.states import SlurmJobState, parse_state, sum_up

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from hpcmtl.results.rundir.submission import Submission

SECONDS_FOR_A_COMMAND = 5.0
MOST_BY_SCONTROL = 4  # it takes one job a call; of more the newest, and sacct has the others in one call

_SQUEUE_FIELDS = "%i|%A|%T|%S|%N|%r"
_SACCT_FIELDS = "JobID,JobIDRaw,State,ExitCode,Start,NodeList,Reason"
_SCONTROL = re.compile(r"^JobId=(\S+) .*?\bJobState=(\S+) Reason=(.*?) Dependency=")
# These change what the commands print or leave out, e.g. SQUEUE_STATES=PENDING in somebody's profile.
_MEDDLING = ("SQUEUE_", "SACCT_", "SCONTROL_", "SLURM_TIME_FORMAT", "SLURM_CLUSTERS", "SCANCEL_")
_NOTHING = frozenset({"", "None", "N/A", "Unknown", "(null)", "None assigned"})


@dataclass(frozen=True)
class QueueAnswer:
    """What Slurm said when it was asked.

    Attributes:
        words: one a job, in the order of the question.
        answered: whether a command that would know of a job that waits or runs (squeue, scontrol) gave an answer.
        problems: what the commands that did not answer said instead, one line each.
        age: seconds since then.
    """

    words: tuple[SlurmJobState, ...]
    answered: bool
    problems: tuple[str, ...] = ()
    age: float = 0.0

    @property
    def word(self) -> SlurmJobState | None:
        """One word for all jobs together."""
        return sum_up(self.words)


@dataclass(frozen=True)
class _Output:
    """What came of one command: its lines, or the problem."""

    lines: tuple[str, ...] = ()
    problem: str = ""


class _Inquiry:
    """What has been found out about the jobs of a submission so far."""

    def __init__(self, submission: Submission, seconds: float) -> None:
        self._submission, self._seconds = submission, seconds
        self.found: dict[str, SlurmJobState] = {}
        self.problems: list[str] = []

    def open(self) -> list[str]:
        """Jobs of which nothing is known yet."""
        jobs = self._submission.job_ids
        return [job for job in jobs if job not in self.found or self.found[job].phase == "unknown"]

    def vague(self) -> list[str]:
        """Those, and jobs of which squeue alone says that they have ended: it does not tell exit codes."""
        ended = {job for job, word in self.found.items() if word.phase.startswith("ended") and word.source == "squeue"}
        return [job for job in self._submission.job_ids if job in ended or job in self.open()]

    def ask(self, source: str, arguments: list[str], parse: Callable[[Iterable[str]], Iterator[SlurmJobState]]) -> bool:
        """Ask one command; False if it gave no answer that can be read."""
        cluster = ["-M", self._submission.cluster] if self._submission.cluster else []
        output = _call([source, *cluster, *arguments], self._seconds)
        words = list(parse(output.lines))
        problem = output.problem
        if output.lines and not words:
            problem = f"said what nobody understands: {output.lines[0][:80]!r}"
        if problem:
            self.problems.append(f"{source}: {problem}")
        for job in self.vague():
            said = sum_up(word for word in words if job in _names(word.job))
            if said is not None and (said.phase != "unknown" or job not in self.found):
                self.found[job] = replace(said, job=job)
        return not problem


def is_slurm_here() -> bool:
    """Whether any of the commands that are asked is on the PATH."""
    return any(shutil.which(command) for command in ("squeue", "scontrol", "sacct"))


def ask_slurm(submission: Submission, seconds: float = SECONDS_FOR_A_COMMAND) -> QueueAnswer:
    """Ask Slurm about all jobs of a submission, by one call of squeue; about those it knows too little of, the others.

    Args:
        submission: whose jobs.
        seconds: that each command may take; it is then killed and passed over.
    """
    inquiry = _Inquiry(submission, seconds)
    ids = ",".join(submission.job_ids)
    answered = inquiry.ask("squeue", ["-h", "-r", "-t", "all", "-j", ids, "-o", _SQUEUE_FIELDS], _of_squeue)
    for job in inquiry.vague()[-MOST_BY_SCONTROL:]:
        if not inquiry.ask("scontrol", ["-o", "show", "job", job], _of_scontrol):
            break  # it would say the same of the next
        answered = True
    if inquiry.open():
        words = ["-S", _since(submission.submitted), "-j", ",".join(inquiry.open()), "-o", _SACCT_FIELDS]
        inquiry.ask("sacct", ["-X", "-P", "-n", *words], _of_sacct)
    words_found = tuple(inquiry.found.get(job, SlurmJobState(job)) for job in submission.job_ids)
    return QueueAnswer(words_found, answered, tuple(inquiry.problems))


def cancel_jobs(submission: Submission, *, pending_only: bool, seconds: float = 4 * SECONDS_FOR_A_COMMAND) -> None:
    """Let Slurm cancel the jobs of a submission; those that have ended are left as they are.

    Args:
        submission: whose jobs.
        pending_only: leave jobs that have begun meanwhile alone.
        seconds: that scancel may take.

    Raises:
        EnvironmentUnfitError: scancel is missing, slow, or says no.
    """
    words = ["scancel", *(["-M", submission.cluster] if submission.cluster else [])]
    words += ["--state=PENDING"] if pending_only else []
    output = _call([*words, *submission.job_ids], seconds)
    if output.problem:
        jobs = " ".join(submission.job_ids)
        raise EnvironmentUnfitError(f"scancel {jobs}: {output.problem}; nothing is known to be cancelled")


def _of_squeue(lines: Iterable[str]) -> Iterator[SlurmJobState]:
    """Words from lines of `_SQUEUE_FIELDS`; what is no such line is passed over."""
    for line in lines:
        fields = line.split("|", 5)
        if len(fields) == 6:
            name, raw, state, start, nodes, reason = fields
            yield from _word("squeue", (name, raw), state, start=start, nodes=nodes, reason=reason)


def _of_scontrol(lines: Iterable[str]) -> Iterator[SlurmJobState]:
    """Words from what `scontrol -o show job` prints, one line a job."""
    for line in lines:
        head = _SCONTROL.match(line)
        if head is not None:
            own = dict(re.findall(r"(?<= )(ArrayJobId|ArrayTaskId|ExitCode|StartTime|NodeList)=(\S+)", line))
            name = f"{own['ArrayJobId']}_{own.get('ArrayTaskId', '')}" if "ArrayJobId" in own else head[1]
            more = {"exit_code": own.get("ExitCode", ""), "start": own.get("StartTime", "")}
            more |= {"nodes": own.get("NodeList", ""), "reason": head[3]}
            yield from _word("scontrol", (name, head[1]), head[2], **more)


def _of_sacct(lines: Iterable[str]) -> Iterator[SlurmJobState]:
    """Words from lines of `_SACCT_FIELDS`."""
    for line in lines:
        fields = line.split("|", 6)
        if len(fields) == 7:
            name, raw, state, exit_code, start, nodes, reason = fields
            more = {"exit_code": exit_code, "start": start, "nodes": nodes, "reason": reason}
            yield from _word("sacct", (name, raw), state, **more)


def _word(source: str, names: tuple[str, str], state: str, **more: str) -> Iterator[SlurmJobState]:
    """A word of a job by both its names, if that is a state."""
    known, by = parse_state(state)
    if known:
        more = {key: "" if value.strip() in _NOTHING else value.strip() for key, value in more.items()}
        yield SlurmJobState(" ".join(names), known, source, by=by, **more)


def _names(names: str) -> set[str]:
    """What one may call a job that Slurm calls so: also the array or the heterogeneous job that it is part of."""
    return {part for name in names.split() for part in (name, re.split(r"[_+]", name)[0])}


def _since(submitted: str) -> str:
    """The beginning of sacct's window, which else is midnight; a day early, as clocks differ."""
    try:
        return f"{datetime.fromisoformat(submitted).astimezone() - timedelta(days=1):%Y-%m-%dT%H:%M:%S}"
    except (ValueError, OverflowError):
        return "now-30days"


def _call(words: Sequence[str], seconds: float) -> _Output:
    """Run a command of Slurm; whatever goes wrong is said in one line."""
    if shutil.which(words[0]) is None:
        return _Output(problem="there is no such command here")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(_MEDDLING)}
    environment["LC_ALL"] = "C"
    try:
        process = subprocess.Popen(  # noqa: S603 - a command of Slurm, with IDs that Submission has checked
            words,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,  # sites wrap these commands: what the wrapper started has to end with it
        )
    except OSError as error:
        return _Output(problem=f"cannot be run: {error.strerror}")
    with process:
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            return _Output(problem=f"no answer within {seconds:g} s")
    if process.returncode == 0 or "Invalid job id" in err:  # so says squeue, rc 1, when it has forgotten a job
        return _Output(tuple(line for line in out.splitlines() if line and not line.startswith("CLUSTER:")))
    said = (err or out).strip().splitlines()
    return _Output(problem=f"exit code {process.returncode}: {said[-1][:200] if said else 'nothing said'}")

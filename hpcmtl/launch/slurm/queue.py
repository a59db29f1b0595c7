"""State of jobs according to Slurm: squeue, then `scontrol show job`, then sacct. Each may be missing, slow or wrong.

Queries about a run go through `throttle`, which allows one every 30 s.
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
from pathlib import Path
from typing import TYPE_CHECKING

from hpcmtl.errors import EnvironmentUnfitError
from hpcmtl.launch.slurm.states import LIVE, SlurmJobState, combined_state, parse_state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from hpcmtl.results.rundir.submission import Submission

COMMAND_SECONDS = 5.0
MOST_BY_SCONTROL = (
    4  # maximum number of scontrol calls, one per job, newest jobs first; sacct takes all jobs in one call
)

_SQUEUE_FIELDS = "%i|%A|%T|%S|%N|%r"
_SQUEUE_FIELDS_OF_SCRIPTS = "%i|%A|%T|%S|%N|%r|%o"
_SACCT_FIELDS = "JobID,JobIDRaw,State,ExitCode,Start,NodeList,Reason"
_SCONTROL = re.compile(r"^JobId=(\S+) .*?\bJobState=(\S+) Reason=(.*?) Dependency=")
# These variables change the output of the commands, e.g. SQUEUE_STATES=PENDING in a user's profile.
_FORMAT_VARIABLES = ("SQUEUE_", "SACCT_", "SCONTROL_", "SLURM_TIME_FORMAT", "SLURM_CLUSTERS", "SCANCEL_")
_NOTHING = frozenset({"", "None", "N/A", "Unknown", "(null)", "None assigned"})


@dataclass(frozen=True)
class QueueReply:
    """Holds the reply of Slurm about some jobs.

    Attributes:
        states: one per job, in the order of the query, and behind them those that a user submitted with sbatch.
        answered: True if squeue or scontrol replied, which know of every job that waits or runs.
        problems: error of each command that did not reply, one line each.
        age: seconds since the query.
    """

    states: tuple[SlurmJobState, ...]
    answered: bool
    problems: tuple[str, ...] = ()
    age: float = 0.0

    @property
    def combined(self) -> SlurmJobState | None:
        """State of all jobs together."""
        return combined_state(self.states)


@dataclass(frozen=True)
class _Output:
    """Holds the output lines of one command, or its problem."""

    lines: tuple[str, ...] = ()
    problem: str = ""


class _QueueQuery:
    """Collects the states of the jobs of a submission."""

    def __init__(self, submission: Submission, seconds: float) -> None:
        self._submission, self._seconds = submission, seconds
        self.found: dict[str, SlurmJobState] = {}
        self.problems: list[str] = []

    def unknown(self) -> list[str]:
        """Returns the jobs with unknown state."""
        jobs = self._submission.job_ids
        return [job for job in jobs if job not in self.found or self.found[job].phase == "unknown"]

    def incomplete(self) -> list[str]:
        """Returns these jobs and those ended according to squeue alone, which does not know exit codes."""
        ended = {
            job for job, state in self.found.items() if state.phase.startswith("ended") and state.source == "squeue"
        }
        return [job for job in self._submission.job_ids if job in ended or job in self.unknown()]

    def run(self, source: str, arguments: list[str], parse: Callable[[Iterable[str]], Iterator[SlurmJobState]]) -> bool:
        """Runs one command and stores the states; returns False if its output cannot be read."""
        cluster = ["-M", self._submission.cluster] if self._submission.cluster else []
        output = _call([source, *cluster, *arguments], self._seconds)
        states = list(parse(output.lines))
        problem = output.problem
        if output.lines and not states:
            problem = f"its output has an unknown format: {output.lines[0][:80]!r}"
        if problem:
            self.problems.append(f"{source}: {problem}")
        for job in self.incomplete():
            state = combined_state(state for state in states if job in _names(state.job))
            if state is not None and (state.phase != "unknown" or job not in self.found):
                self.found[job] = replace(state, job=job)
        return not problem


def is_slurm_here() -> bool:
    """Returns True if one of the query commands is on PATH."""
    return any(shutil.which(command) for command in ("squeue", "scontrol", "sacct"))


def query_slurm(submission: Submission, seconds: float = COMMAND_SECONDS) -> QueueReply:
    """Queries all jobs of a submission by one call of squeue, and incomplete ones by the other commands.

    Args:
        submission: the submission.
        seconds: time limit of each command, which is then killed and skipped.
    """
    query = _QueueQuery(submission, seconds)
    ids = ",".join(submission.job_ids)
    answered = query.run("squeue", ["-h", "-r", "-t", "all", "-j", ids, "-o", _SQUEUE_FIELDS], _of_squeue)
    for job in query.incomplete()[-MOST_BY_SCONTROL:]:
        if not query.run("scontrol", ["-o", "show", "job", job], _of_scontrol):
            break  # it would fail for the next job as well
        answered = True
    if query.unknown():
        words = ["-S", _since(submission.submitted), "-j", ",".join(query.unknown()), "-o", _SACCT_FIELDS]
        query.run("sacct", ["-X", "-P", "-n", *words], _of_sacct)
    states = [query.found.get(job, SlurmJobState(job)) for job in submission.job_ids]
    alive = any(state.phase in LIVE for state in states)
    if answered and submission.script and (submission.whole_sweep or not alive):
        states += _resubmitted(submission, seconds)
    return QueueReply(tuple(states), answered, tuple(query.problems))


def _resubmitted(submission: Submission, seconds: float) -> list[SlurmJobState]:
    """Returns the jobs in the queue that have the script of a submission and that `hpcmtl` has not submitted."""
    cluster = ["-M", submission.cluster] if submission.cluster else []
    words = ["-h", "-r", "-n", _job_name(submission.script), "-o", _SQUEUE_FIELDS_OF_SCRIPTS]
    found = []
    for line in _call(["squeue", *cluster, *words], seconds).lines:
        fields, _, command = line.rpartition("|") if line.count("|") == 6 else ("", "", "")
        for state in _of_squeue([fields]):
            name = state.job.split()[0]
            if name not in submission.job_ids and submission.has_started(name, command):
                found.append(replace(state, job=name, command=command))
    return found


def _job_name(script: str) -> str:
    """Returns the name under which sbatch submits a script."""
    try:
        text = Path(script).read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    named = re.search(r"^#SBATCH\s+(?:--job-name[=\s]|-J\s*)\s*(\S+)", text, re.MULTILINE)
    return named[1] if named else Path(script).name


def cancel_jobs(submission: Submission, *, pending_only: bool, seconds: float = 4 * COMMAND_SECONDS) -> None:
    """Cancels the jobs of a submission; jobs that have ended are not changed.

    Args:
        submission: the submission.
        pending_only: do not cancel jobs that have started meanwhile.
        seconds: time limit of scancel.

    Raises:
        EnvironmentUnfitError: scancel is missing, slow or fails.
    """
    _scancel(submission, ["--state=PENDING"] if pending_only else [], seconds)


def signal_jobs(submission: Submission, name: str, seconds: float = 4 * COMMAND_SECONDS) -> None:
    """Sends a signal to the batch scripts of those jobs of a submission that run.

    Raises:
        EnvironmentUnfitError: scancel is missing, slow or fails.
    """
    _scancel(submission, ["--state=RUNNING", "--batch", f"--signal={name}"], seconds)


def _scancel(submission: Submission, options: Sequence[str], seconds: float) -> None:
    cluster = ["-M", submission.cluster] if submission.cluster else []
    output = _call(["scancel", *cluster, *options, *submission.job_ids], seconds)
    if output.problem:
        jobs = " ".join(submission.job_ids)
        raise EnvironmentUnfitError(f"scancel {jobs}: {output.problem}; no job is known to be cancelled")


def _of_squeue(lines: Iterable[str]) -> Iterator[SlurmJobState]:
    """Parses lines of `_SQUEUE_FIELDS`; other lines are skipped."""
    for line in lines:
        fields = line.split("|", 5)
        if len(fields) == 6:
            name, raw, state, start, nodes, reason = fields
            yield from _cleaned(
                SlurmJobState(f"{name} {raw}", state, "squeue", reason=reason, start=start, nodes=nodes)
            )


def _of_scontrol(lines: Iterable[str]) -> Iterator[SlurmJobState]:
    """Parses the output of `scontrol -o show job`, one line per job."""
    for line in lines:
        head = _SCONTROL.match(line)
        if head is not None:
            own = dict(re.findall(r"(?<= )(ArrayJobId|ArrayTaskId|ExitCode|StartTime|NodeList)=(\S+)", line))
            name = f"{own['ArrayJobId']}_{own.get('ArrayTaskId', '')}" if "ArrayJobId" in own else head[1]
            found = SlurmJobState(f"{name} {head[1]}", head[2], "scontrol", reason=head[3])
            exit_code, start, nodes = (own.get(key, "") for key in ("ExitCode", "StartTime", "NodeList"))
            yield from _cleaned(replace(found, exit_code=exit_code, start=start, nodes=nodes))


def _of_sacct(lines: Iterable[str]) -> Iterator[SlurmJobState]:
    """Parses lines of `_SACCT_FIELDS`."""
    for line in lines:
        fields = line.split("|", 6)
        if len(fields) == 7:
            name, raw, state, exit_code, start, nodes, reason = fields
            found = SlurmJobState(f"{name} {raw}", state, "sacct", reason=reason, exit_code=exit_code)
            yield from _cleaned(replace(found, start=start, nodes=nodes))


def _cleaned(found: SlurmJobState) -> Iterator[SlurmJobState]:
    """Yields a job, named by both its IDs, with parsed state and without Slurm's placeholders, if it has a state."""
    state, by = parse_state(found.state)
    if state:
        texts = {key: getattr(found, key).strip() for key in ("reason", "exit_code", "start", "nodes")}
        texts = {key: "" if text in _NOTHING else text for key, text in texts.items()}
        yield replace(found, state=state, by=by, **texts)


def _names(names: str) -> set[str]:
    """Returns all names of a job, including the array or heterogeneous job that it belongs to."""
    return {part for name in names.split() for part in (name, re.split(r"[_+]", name)[0])}


def _since(submitted: str) -> str:
    """Returns the start of sacct's window, which is midnight by default; one day early, because clocks differ."""
    try:
        return f"{datetime.fromisoformat(submitted).astimezone() - timedelta(days=1):%Y-%m-%dT%H:%M:%S}"
    except (ValueError, OverflowError):
        return "now-30days"


def _call(words: Sequence[str], seconds: float) -> _Output:
    """Runs a command of Slurm; every error is reported in one line."""
    if shutil.which(words[0]) is None:
        return _Output(problem="there is no such command here")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(_FORMAT_VARIABLES)}
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
            start_new_session=True,  # sites wrap these commands: the wrapper's children must be killed with it
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
    if (
        process.returncode == 0 or "Invalid job id" in err
    ):  # squeue's message, exit code 1, for a job that it has forgotten
        return _Output(tuple(line for line in out.splitlines() if line and not line.startswith("CLUSTER:")))
    lines = (err or out).strip().splitlines()
    return _Output(problem=f"exit code {process.returncode}: {lines[-1][:200] if lines else 'no message'}")

"""Start of the ranks of a command: outside MPI it starts a launcher, inside MPI it is one of the ranks."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from hpcmtl.communicators.exit_code_file import EXIT_CODE_FILE, write_exit_code
from hpcmtl.dispatch.rank.signals import handled_by
from hpcmtl.errors import EnvironmentUnfitError, ExitCode, HpcmtlError, no_permission
from hpcmtl.launch.command import mpirun_command
from hpcmtl.launch.durations import start_seconds
from hpcmtl.launch.environment import columns, rank_environment, require_launcher
from hpcmtl.launch.interpreter import SAFE_PATH
from hpcmtl.launch.leftovers import descendants, end_leftovers
from hpcmtl.launch.variables import check_settings
from hpcmtl.logs import harmless
from hpcmtl.results.rundir.directory import RunDirectory
from hpcmtl.results.rundir.find import begun

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.console import Console

    from hpcmtl.communicators.base import Communicator
    from hpcmtl.launch.hosts import Host
    from hpcmtl.pipeline.run.options import RunOptions
    from hpcmtl.results.outcome.summary import JobResult
    from hpcmtl.results.sinks.terminal import Mode

# Facts that ranks cannot find out: mpirun gives their stdout its own terminal, and their stderr none.
_PROGRESS, _STDOUT, _COLUMNS = "HPCMTL_PROGRESS", "HPCMTL_STDOUT", "HPCMTL_COLUMNS"
_CHECKED_IN = ".ranks"  # behind the name of the file of the exit code: a folder in which the ranks check in
_DOCUMENTED = frozenset(int(code) for code in ExitCode)
_SIGNALS = 128  # added by shells and mpirun to the number of a signal that ended a program
_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
# Signals by which the ranks are asked to stop; by SIGUSR1 for all others, see `dispatch.rank.signals`.
_AS_REQUEST: dict[int, signal.Signals] = {signal.SIGTERM: signal.SIGUSR2, signal.SIGUSR2: signal.SIGUSR2}


def be_rank(call: Callable[[RunOptions, Communicator], JobResult], options: RunOptions) -> NoReturn:
    """Runs a job as one rank of an MPI world, prints the result, and exits with its exit code.

    Args:
        call: runs the job (collective).
        options: options of the run; the display of progress is added here.
    """
    from hpcmtl.communicators.base import RankLostError
    from hpcmtl.communicators.outcome import abort_on_error
    from hpcmtl.communicators.shutdown import leads, leave
    from hpcmtl.pipeline.run.result import exit_code

    before = descendants()
    world = world_in_time()
    mode = os.environ.get(_PROGRESS, "plain")
    with abort_on_error(world):
        try:
            width = columns()
            shown: Mode = "live" if mode == "live" else "plain"
            result = call(replace(options, progress=shown, width=width), world)
        except HpcmtlError as error:  # all ranks raise the same error: one prints it, and all end normally
            if leads(world):
                print(f"hpcmtl: {harmless(str(error))}", file=sys.stderr, flush=True)  # noqa: T201 - output of the command
            code = int(error.exit_code)
        else:
            code = int(exit_code(result))
            if leads(world):
                _show(result, mode, width)
        sys.stdout.flush()
        if leads(world):
            write_exit_code(code)
        if left := end_leftovers(before):
            text = f"a task has left processes behind, which are ended now: {', '.join(left)}"
            print(f"hpcmtl: {text}", file=sys.stderr, flush=True)  # noqa: T201 - output of the command
        with contextlib.suppress(RankLostError):
            world.barrier()  # a rank that exits with an error kills the others before they have printed
    leave(world, code)


def world_in_time() -> Communicator:
    """Returns the world of MPI; if other ranks do not come within a deadline, this rank and the launcher are ended."""
    from hpcmtl.communicators.start_deadline import start_deadline

    require_launcher()
    place = rank_environment()
    assert place is not None, "the callers asked whether this is a rank"
    file = os.environ.get(EXIT_CODE_FILE)
    folder = Path(f"{file}{_CHECKED_IN}") if file and Path(file).parent.is_dir() else None
    with start_deadline(start_seconds(), place.rank, place.size or 1, folder, socket.gethostname()):
        from hpcmtl.communicators.mpi import world  # imports mpi4py, which starts MPI

        return world()


def _show(result: JobResult, mode: str, width: int | None) -> None:
    from rich.console import Console

    stdout = os.environ.get(_STDOUT)
    on_terminal = stdout == "terminal"
    # The two streams of a rank reach a terminal in any order: the last bars would erase a table printed before them on
    # the other stream.
    console = Console(stderr=on_terminal and mode == "live", width=width, force_terminal=on_terminal)
    print_result(result, console, as_json=stdout == "json")


def print_result(result: JobResult, console: Console, *, as_json: bool) -> None:
    """Prints the result of a job: a table, or its record as JSON."""
    from hpcmtl.results.outcome.summary import print_table, to_dict
    from hpcmtl.results.strict_json import to_json

    if as_json:
        print(to_json(to_dict(result), indent=2))  # noqa: T201 - stdout is for data
    else:
        print_table(result, console)


def start_ranks(
    count: int,
    arguments: Sequence[str],
    folder: Path,
    *,
    hosts: Sequence[Host] = (),
    as_json: bool = False,
    survive: bool = True,
) -> int:
    """Starts `hpcmtl` with some arguments on ranks by mpirun, waits, and returns the exit code.

    Args:
        count: number of ranks.
        arguments: arguments of the command.
        folder: directory that all ranks see, for the exit code of the leading rank.
        hosts: hosts of the ranks; without them this host, or the nodes of the current Slurm allocation.
        as_json: print the completion record instead of a table.
        survive: let ranks survive the loss of others, if mpirun supports it.
    """
    check_settings(count)
    exit_code_file = _writable(folder) / f".ended.{uuid.uuid4().hex}"
    environment = _environment_of_ranks(exit_code_file, as_json=as_json, survive=survive)
    program = [sys.executable, "-m", "mpi4py", "-m", "hpcmtl", *arguments]
    started = time.time_ns()
    with _forwarding() as to:
        # In a new session, so that Ctrl-C reaches only this process: mpirun would kill the ranks at once.
        process = subprocess.Popen(  # noqa: S603 - our own launcher
            mpirun_command(count, program, hosts), env=environment, stdin=subprocess.DEVNULL, start_new_session=True
        )
        to.go_to(process)
        code = process.wait()
    code_of_run = _code_of_run(exit_code_file)
    if code_of_run is not None:
        return code_of_run or _code_of_launcher(code)
    return _code_without_word(code, _run_begun(folder, started), to.first)


def _code_of_launcher(code: int) -> int:
    """Returns its exit code; that of a failure if a signal ended it or, as a shell passes it on, mpirun."""
    return int(ExitCode.TASK_FAILED) if code < 0 or code > _SIGNALS else code


def _code_without_word(code: int, run: RunDirectory | None, interrupt: int) -> int:
    """Returns the exit code of a command whose ranks said nothing of their end; says how they ended.

    Args:
        code: exit code of the launcher, as in `Popen.returncode`.
        run: run that the ranks have begun.
        interrupt: number of the first signal; 0 without one.
    """
    if interrupt and run is None:
        print("hpcmtl: interrupted before the run began: nothing was written", file=sys.stderr)  # noqa: T201 - output
        return _SIGNALS + interrupt
    if code <= 0 or code not in _DOCUMENTED:
        print(f"hpcmtl: {_how_ranks_ended(code, run)}", file=sys.stderr)  # noqa: T201 - output of the command
    return _code_of_launcher(code) or int(ExitCode.TASK_FAILED)


def _writable(folder: Path) -> Path:
    """Returns a folder, or the lowest one above it that exists.

    Raises:
        EnvironmentUnfitError: this user may not write there.
    """
    place = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.is_dir())
    if not os.access(place, os.W_OK | os.X_OK):
        raise EnvironmentUnfitError(no_permission(place))
    return place


def _code_of_run(file: Path) -> int | None:
    """Returns the exit code that a rank has written, None if there is none, and removes what ranks have written."""
    try:
        text = file.read_text(encoding="utf-8")
        return int(text or ExitCode.STOPPED)  # an empty file is one of a file system that is full
    except (OSError, ValueError):
        return None
    finally:
        file.unlink(missing_ok=True)
        shutil.rmtree(f"{file}{_CHECKED_IN}", ignore_errors=True)


def _environment_of_ranks(exit_code_file: Path, *, as_json: bool, survive: bool) -> dict[str, str]:
    environment = {**os.environ, EXIT_CODE_FILE: str(exit_code_file)}
    if not survive:
        environment["HPCMTL_FT"] = "0"  # read by the launcher
    if sys.stderr.isatty():
        environment.update({_PROGRESS: "live", _COLUMNS: str(shutil.get_terminal_size().columns)})
    if as_json or sys.stdout.isatty():
        environment[_STDOUT] = "json" if as_json else "terminal"
    environment.setdefault("PYTHONSAFEPATH", SAFE_PATH)  # else `python -m` puts this folder first
    return environment


def _run_begun(folder: Path, started: int) -> RunDirectory | None:
    """Returns the run that the ranks have begun or continued; None if they did not get so far.

    Args:
        folder: run directory, or parent of the run directory.
        started: time of their start, in nanoseconds since 1970.
    """
    if RunDirectory(folder).job_file.is_file():
        return RunDirectory(folder)
    runs = [run for run in map(RunDirectory, folder.glob("*")) if begun(run) >= started]
    return max(runs, key=begun, default=None)


def _how_ranks_ended(code: int, run: RunDirectory | None) -> str:
    """Returns a sentence on the end of mpirun without a word of the ranks.

    Args:
        code: its exit code, as in `Popen.returncode`.
        run: run that they have begun.
    """
    how = f"mpirun ended with exit code {code}" if code else "mpirun ended without an error"
    if code < 0 or code > _SIGNALS:
        number = -code if code < 0 else code - _SIGNALS
        name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
        how = f"mpirun was ended by {name}" if code < 0 else f"{how} ({name} to a rank or to mpirun)"
    remedy = "no run directory was made: start it again"
    if run is not None:
        remedy = f"`hpcmtl resume {run.path}` goes on from its checkpoints"
    return f"{how}, but no rank reported the end of the run: it has failed; {remedy}"


class _Forwarding:
    """Sends signals to a process, also those that come while it starts.

    Attributes:
        first: number of the first signal; 0 before it.
        first_at: seconds of its arrival.
    """

    def __init__(self) -> None:
        self.first, self.first_at = 0, 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self._early: signal.Signals | None = None

    def send(self, number: signal.Signals) -> None:
        """Sends a signal, or keeps it until there is a process."""
        if self._process is None:
            self._early = number
        else:
            self._process.send_signal(number)

    def go_to(self, process: subprocess.Popen[bytes]) -> None:
        """Sends all signals to a process from now on, and the newest that came before."""
        self._process = process
        if self._early is not None:
            process.send_signal(self._early)


@contextlib.contextmanager
def _forwarding() -> Iterator[_Forwarding]:
    """Converts the first signal to a request to stop with checkpoints, and the second to the end of the ranks."""
    to = _Forwarding()

    def forward(number: int, _frame: object) -> None:
        if number == to.first == signal.SIGTERM and time.monotonic() - to.first_at <= 1:
            return  # `timeout` sends it to the command, and once more to its process group
        again, to.first_at = bool(to.first), to.first_at or time.monotonic()
        to.first = to.first or number  # at once: the next signal may interrupt this handler
        name = signal.Signals(number).name
        text = "ending the ranks" if again else "stopping at the next step boundary; once more ends the ranks at once"
        # Not print: a second signal would enter the buffered stream again, which raises an error.
        os.write(sys.stderr.fileno(), f"hpcmtl: {name}: {text}\n".encode())
        to.send(signal.SIGTERM if again else _AS_REQUEST.get(number, signal.SIGUSR1))

    with handled_by(forward, _FORWARDED):
        yield to

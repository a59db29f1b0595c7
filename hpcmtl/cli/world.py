"""How a verb that needs ranks gets them: outside MPI it starts a launcher, inside it is one of them."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from hpcmtl.dispatch.rank.signals import handled_by
from hpcmtl.errors import ExitCode, HpcmtlError
from hpcmtl.launch.command import mpirun_command
from hpcmtl.launch.environment import columns
from hpcmtl.launch.variables import check_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.console import Console

    from hpcmtl.communicators.base import Communicator
    from hpcmtl.pipeline.run.entry import RunOptions
    from hpcmtl.results.outcome.summary import JobResult
    from hpcmtl.results.sinks.terminal import Mode

# What the ranks cannot find out by themselves: mpirun gives their stdout a terminal of its own, and their stderr none.
_PROGRESS, _STDOUT, _COLUMNS = "HPCMTL_PROGRESS", "HPCMTL_STDOUT", "HPCMTL_COLUMNS"
# Where the rank that leads writes the exit code: mpirun says 0 of some ends that are none, above all where ranks may
# outlive others.
_LAST_WORD = "HPCMTL_LAST_WORD"
_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)


def be_rank(call: Callable[[RunOptions, Communicator], JobResult], **options: object) -> NoReturn:
    """Run a job as one rank of an MPI world, tell how it ended, and leave with its exit code.

    Args:
        call: runs the job, collectively.
        options: of `RunOptions`, but for how progress is shown.
    """
    from hpcmtl.communicators.base import RankLostError
    from hpcmtl.communicators.mpi import world as mpi_world
    from hpcmtl.communicators.outcome import abort_on_error
    from hpcmtl.communicators.shutdown import leads, leave
    from hpcmtl.pipeline.run.entry import RunOptions, exit_code

    world = mpi_world()
    mode = os.environ.get(_PROGRESS, "plain")
    with abort_on_error(world):
        try:
            width = columns()
            shown: Mode = "live" if mode == "live" else "plain"
            result = call(RunOptions(progress=shown, width=width, **options), world)  # type: ignore[arg-type]
        except HpcmtlError as error:  # all ranks raise it alike: one of them says it, and all leave in peace
            if leads(world):
                print(f"hpcmtl: {error}", file=sys.stderr, flush=True)  # noqa: T201 - this is the command's voice
            code = int(error.exit_code)
        else:
            code = int(exit_code(result))
            if leads(world):
                _show(result, mode, width)
        sys.stdout.flush()
        if leads(world):
            _leave_word(code)
        with contextlib.suppress(RankLostError):
            world.barrier()  # a rank that leaves with an error before the others have printed takes them with it
    leave(world, code)


def _show(result: JobResult, mode: str, width: int | None) -> None:
    from rich.console import Console

    stdout = os.environ.get(_STDOUT)
    on_terminal = stdout == "terminal"
    # The two streams of a rank reach a terminal in any order: the last bars would wipe out a table that came before
    # them on the other one.
    console = Console(stderr=on_terminal and mode == "live", width=width, force_terminal=on_terminal)
    print_result(result, console, as_json=stdout == "json")


def print_result(result: JobResult, console: Console, *, as_json: bool) -> None:
    """Tell how a job ended: a table for people, or its record for machines."""
    from hpcmtl.results.outcome.summary import print_table, to_dict
    from hpcmtl.results.strict_json import to_json

    if as_json:
        print(to_json(to_dict(result), indent=2))  # noqa: T201 - stdout is for data
    else:
        print_table(result, console)


def _leave_word(code: int) -> None:
    """Tell who started the ranks how the run ended; where that is nowhere, nothing has been written by it either."""
    place = os.environ.get(_LAST_WORD)
    if place and Path(place).parent.is_dir():
        Path(place).write_text(str(code), encoding="utf-8")


def start_ranks(count: int, words: Sequence[str], folder: Path, *, as_json: bool = False, survive: bool = True) -> int:
    """Start `hpcmtl` with these words on so many ranks by mpirun, and stay with them; return the exit code.

    Args:
        count: of ranks.
        words: of the command line.
        folder: that all ranks see, for the last word of the one that leads.
        as_json: print the completion record, not a table.
        survive: ranks outlive others that are lost, where mpirun can do that.
    """
    check_settings(count)
    last_word = folder.absolute() / f".ended.{uuid.uuid4().hex}"
    environment = {**os.environ, _LAST_WORD: str(last_word)}
    if not survive:
        environment["HPCMTL_FT"] = "0"  # for the launcher
    if sys.stderr.isatty():
        environment.update({_PROGRESS: "live", _COLUMNS: str(shutil.get_terminal_size().columns)})
    if as_json or sys.stdout.isatty():
        environment[_STDOUT] = "json" if as_json else "terminal"
    program = [sys.executable, "-m", "mpi4py", "-m", "hpcmtl", *words]
    # In a session of its own, so that Ctrl-C reaches only this process: mpirun would kill the ranks where they are.
    ranks_process = subprocess.Popen(  # noqa: S603 - our own launcher
        mpirun_command(count, program), env=environment, stdin=subprocess.DEVNULL, start_new_session=True
    )
    with _forwarding_to(ranks_process):
        code = ranks_process.wait()
    try:
        said = int(last_word.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        said = int(ExitCode.TASK_FAILED)
        if code == 0:
            text = "hpcmtl: mpirun ended without an error, but no rank said that the run has ended: it has failed"
            print(text, file=sys.stderr)  # noqa: T201 - this is the command's voice
    last_word.unlink(missing_ok=True)
    return code or said


@contextlib.contextmanager
def _forwarding_to(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Turn the first signal into a request to stop with checkpoints, and the second into the end of the ranks."""
    asked = False

    def forward(number: int, _frame: object) -> None:
        nonlocal asked
        again, asked = asked, True  # first of all: the next signal may come in the middle of this one
        name = signal.Signals(number).name
        text = "ending the ranks" if again else "stopping at the next step boundary; once more ends the ranks at once"
        # Not print: a second signal in the middle of it would meet a stream that refuses to be entered twice.
        os.write(sys.stderr.fileno(), f"hpcmtl: {name}: {text}\n".encode())
        process.send_signal(signal.SIGTERM if again else signal.SIGUSR1)

    with handled_by(forward, _FORWARDED):
        yield

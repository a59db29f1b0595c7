"""The start of the next attempt at a run, by `hpcmtl resume` in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

from hpcmtl.errors import EnvironmentUnfitError, ExitCode
from hpcmtl.launch.environment import inside_mpi
from hpcmtl.launch.interpreter import SAFE_PATH
from hpcmtl.results.run_state import read_run_state

if TYPE_CHECKING:
    from hpcmtl.results.rundir.directory import RunDirectory

_SECONDS_BETWEEN_LOOKS = 0.1
_SHOWN = 5  # lines of the command's output in a message


def resume_by_command(run: RunDirectory, ranks: int | None, *, wait: bool) -> None:
    """Continues a run on ranks that `hpcmtl resume` starts; a run with nothing left to do is left as it is.

    Args:
        run: the run directory.
        ranks: number of ranks; None for that of the job.
        wait: whether to return only when the attempt has ended; otherwise when it has begun.

    Raises:
        InputError: this is no sound run directory.
        EnvironmentUnfitError: another process runs it, this process is an MPI rank, or the ranks cannot start.
    """
    from hpcmtl.pipeline.run.resume_point import load_run

    if inside_mpi():
        text = "this process is an MPI rank, which cannot start others: call `resume` from a program without mpirun"
        raise EnvironmentUnfitError(f"{run.path}: {text}")
    if load_run(run.path, None, ranks).is_over:  # what is wrong with it is raised here
        return
    before = read_run_state(run.ledger_file).attempt.number
    words = ["resume", str(run.path), *([] if ranks is None else ["--ranks", str(ranks)])]
    process = subprocess.Popen(  # noqa: S603 - ourselves
        [sys.executable, "-m", "hpcmtl", *words],
        env={"PYTHONSAFEPATH": SAFE_PATH, **os.environ},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # so that Ctrl-C reaches it once, by `_ended`
    )
    end = _End(process)
    if wait:
        end.wait(run)
    else:
        end.wait_for_begin(run, before)


class _End:
    """The end of a started command, whose output is read so that it never waits for a reader.

    Args:
        process: the command.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process, self._output = process, ""
        self._reader = threading.Thread(target=self._read, name="hpcmtl-resume", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        _, self._output = self._process.communicate()

    def wait(self, run: RunDirectory) -> None:
        """Waits for the end; Ctrl-C stops the run with checkpoints.

        Raises:
            EnvironmentUnfitError: the command could not run the job.
        """
        try:
            self._reader.join()
        except KeyboardInterrupt:
            self._process.send_signal(signal.SIGINT)
            self._reader.join()
            raise
        if self._process.returncode not in {ExitCode.COMPLETE, ExitCode.TASK_FAILED, ExitCode.STOPPED}:
            last = "\n".join(self._output.strip().splitlines()[-_SHOWN:])
            raise EnvironmentUnfitError(f"{run.path}: `hpcmtl resume` ended with {self._process.returncode}: {last}")

    def wait_for_begin(self, run: RunDirectory, before: int) -> None:
        """Waits until the ledger has an attempt after one of some number, or the command has ended.

        Raises:
            EnvironmentUnfitError: the command could not run the job.
        """
        while self._reader.is_alive():
            if read_run_state(run.ledger_file).attempt.number > before:
                return
            time.sleep(_SECONDS_BETWEEN_LOOKS)  # a file on a shared file system: there is no condition to wait on
        self.wait(run)

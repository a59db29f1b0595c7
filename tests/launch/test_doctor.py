"""The doctor passes a good installation, and every broken part is a failing line with a remedy, never a traceback."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import hpcmtl
from hpcmtl.frameworks.registry import describe
from hpcmtl.launch import checks, doctor
from hpcmtl.launch.checks import run_child
from hpcmtl.launch.doctor import run_checks
from hpcmtl.launch.resources.gpus import Gpu

pytestmark = pytest.mark.slow

ROOT = Path(hpcmtl.__file__).parents[1]


def examine(directory, pythonpath=(), **environ):
    """Run the doctor in a process of its own with broken packages first on its path; return its checks by name."""
    code = f"""
import json
from dataclasses import asdict
from pathlib import Path
from hpcmtl.launch.doctor import run_checks
print(json.dumps([asdict(check) for check in run_checks(Path({str(directory)!r}))]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([*map(str, pythonpath), str(ROOT)]), **environ},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return {check["name"]: check for check in json.loads(done.stdout)}


@pytest.mark.mpi
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("horovodrun", path=Path(sys.executable).parent) is None, reason="no Horovod here")
def test_this_environment_is_fit(tmp_path):
    """Where the tests run every check passes, for a run directory that does not exist yet; nothing stays in it."""
    checks = run_checks(tmp_path / "runs/later")

    assert [check for check in checks if not check.ok] == []
    assert all(check.found and not check.remedy for check in checks)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.mpi
def test_missing_packages_are_failing_lines(tmp_path):
    """Without mxnet and mpi4py the checks that need them fail with reason and remedy, and the others pass."""
    for name in ("mxnet", "mpi4py"):
        (tmp_path / f"{name}.py").write_text(f"raise ModuleNotFoundError('No module named {name}')")
    checks = examine(tmp_path, [tmp_path])
    failed = {name for name, check in checks.items() if not check["ok"]}

    assert failed == {"mxnet", "Horovod", "one libmpi", "MPI threads", "mpirun with 2 ranks", "cores and binding"}
    assert all(checks[name]["remedy"] for name in failed)
    assert "mxnet==1.9.1 is not installed" in checks["mxnet"]["found"]
    assert "No module named mpi4py" in checks["one libmpi"]["found"]


@pytest.mark.mpi
def test_singletons_are_found_out(tmp_path):
    """Ranks that are each rank 0 of 1 fail the check, although their program ended well."""
    installation = doctor._Installation(tmp_path)
    installation.world = run_child([sys.executable, "-m", "mpi4py", "-c", doctor._WORLD])
    check = doctor._world(installation)

    assert (check.ok, check.found) == (False, "a world of 1")
    assert "launchers/mpirun.sh" in check.remedy


def test_gpus_are_shown_and_no_failure(tmp_path, monkeypatch):
    """A machine without GPUs is fit; the line says so, or lists what is there."""
    installation = doctor._Installation(tmp_path)
    monkeypatch.setattr(doctor, "visible_gpus", lambda: ())
    none = doctor._gpus(installation)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    hidden = doctor._gpus(installation)
    monkeypatch.setattr(doctor, "visible_gpus", lambda: (Gpu(name="A100", memory=40 << 30, driver="550"),) * 2)
    two = doctor._gpus(installation)

    assert none.ok
    assert hidden.ok
    assert "none by NVML and nvidia-smi" in none.found
    assert "CUDA_VISIBLE_DEVICES='-1'" in hidden.found
    assert two.found == "0: A100 (40 GiB), 1: A100 (40 GiB); driver 550"


@pytest.mark.parametrize(
    ("problems", "text"),
    [([], ""), ([None, None], ", also on 2 of 2 GPUs"), ([None, "no CUDA"], ", also on 1 of 2 GPUs; GPU 1: no CUDA")],
)
def test_frameworks_on_gpus(problems, text):
    """The line of a framework says on how many GPUs it computes, and the first reason where it does not."""
    assert checks.on_gpus(problems) == text


def test_a_program_that_hangs_is_ended(monkeypatch):
    """A probe has a bound, and says so."""
    monkeypatch.setattr(checks, "SECONDS_FOR_CHILD", 0.5)

    assert run_child([sys.executable, "-c", "import time; time.sleep(60)"]) == {"error": "no answer within 0.5 s"}


def test_a_crash_is_an_answer():
    """A child that is killed, or prints nothing, is reported with its exit code."""
    assert "(exit -11)" in run_child([sys.executable, "-c", "import os; os.kill(os.getpid(), 11)"])["error"]
    assert "No such file" in run_child(["/no/such/program"])["error"]


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder that nobody can write to")
def test_a_run_directory_without_write_access_is_refused():
    """Where no file can be made the HDF5 check fails and names the place."""
    check = doctor._hdf5_locking(doctor._Installation(Path("/proc/self/runs")))

    assert not check.ok
    assert "/proc/self" in check.remedy


def test_a_full_disk_is_said(monkeypatch, tmp_path):
    """Too little space fails, with the place and what is left."""
    monkeypatch.setattr(doctor, "_MIN_FREE_BYTES", 2**80)
    check = doctor._free_space(doctor._Installation(tmp_path))

    assert not check.ok
    assert str(tmp_path) in check.found


@pytest.mark.parametrize(("there", "passes"), [((), False), (("mxnet",), True), (("torch",), True)])
def test_one_framework_is_enough(monkeypatch, there, passes):
    """A framework that is not installed beside another one is no fault; the way to have it is said."""
    described = [describe(name) for name in ("gluon", "torch")]
    monkeypatch.setattr(type(described[0]), "missing", property(lambda each: tuple(set(each.required) - set(there))))
    monkeypatch.setattr(doctor, "load_reference", lambda _reference: (lambda: checks.outcome("ran", True, "", ""),))
    found = doctor._framework_checks(tuple(described))
    absent = [check for check in found if "not installed" in check.found]

    assert len(absent) == (1 if passes else 0)
    assert all(check.ok and "HPCMTL_FRAMEWORKS=mxnet,torch" in check.found for check in absent)
    assert [check.name for check in found].count("ran") == 2 - len(absent)

"""Folders that are not as a run needs them: modules with the names of libraries, and directories of other users."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from jobs import family, python_job, write_job
from runs import CHECKOUT

pytestmark = pytest.mark.slow

SHADOWS = ("queue", "yaml", "random", "mpi4py", "socket", "numpy", "typer", "h5py")
CONSOLE = [str(Path(sys.executable).parent / "hpcmtl")]


def without_rights():
    """Words before a command that take root's right to read everything."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("root needs setpriv, to run a command without its rights")
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner"]


def call(folder, *words):
    """Run the command in a folder without the rights of root."""
    environ = {**os.environ, "PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1"}
    command = [*without_rights(), *CONSOLE, *map(str, words)]
    return subprocess.run(
        command,
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.slow
def test_modules_with_the_names_of_libraries(start):
    """Beside the job file, and in the working directory of the ranks, they replace nothing; users' own are found."""
    run = start(python_job("census"), ["true"], ["sh"])
    run.finish()
    for name in SHADOWS:
        (run.folder / f"{name}.py").write_text(f"raise SystemExit('{name} is shadowed')\n")
    (run.folder / "user_code.py").write_text("import queue, random\n\ndef census(context):\n    random.random()\n")
    done = start.again(run.folder, CONSOLE, ["run", "job.yaml", "--runs", "runs"]).finish()

    assert done.returncode == 0, done.said
    assert "shadowed" not in done.said


def test_a_callable_whose_module_has_the_name_of_another(tmp_path):
    """It is refused with both files, instead of a message about the other one's attributes."""
    file = write_job(tmp_path, family(tasks={"task": {"kind": "python", "callable": "random:census"}}))
    (tmp_path / "random.py").write_text("def census(context):\n    pass\n")
    done = call(tmp_path, "validate", file)

    assert done.returncode == 2, done.stderr
    assert f"{tmp_path}/random.py: has the name of another module (" in done.stderr
    assert "which is imported instead; rename it" in done.stderr


@pytest.fixture
def foreign(tmp_path, digits_file):
    """A folder with a run directory that this user may not enter."""
    run = tmp_path / "runs" / "family-20260101-101010"
    run.mkdir(parents=True)
    write_job(tmp_path, family(tasks={"task": {"kind": "python", "callable": "user_code:census"}}), digits_file)
    shutil.copy(tmp_path / "job.yaml", run)
    _forbid(run)
    yield tmp_path
    for path in (run, run.parent):
        path.chmod(0o700)


def _forbid(path):
    if os.geteuid() == 0:
        os.chown(path, 65534, 65534)
        path.chmod(0o700)
    else:
        path.chmod(0o000)


@pytest.mark.parametrize("verb", ["status", "wait", "logs", "verify", "cancel", "resume"])
def test_a_run_of_another_user(foreign, verb):
    """Each command ends with 3 and a sentence that names directory, owner and remedy."""
    (run,) = (foreign / "runs").iterdir()
    done = call(foreign, verb, run)

    assert done.returncode == 3, done.stderr
    assert f"{run}: Permission denied: ask user " in done.stderr
    assert "Traceback" not in done.stderr


def test_a_directory_of_another_user(foreign):
    """A run that cannot be made there is refused before its ranks start."""
    _forbid(foreign / "runs")
    done = call(foreign, "run", "job.yaml")

    assert done.returncode == 3, done.stderr
    assert "/runs: Permission denied" in done.stderr
    assert "Traceback" not in done.stderr


def test_programs_that_a_task_starts_are_not_meant():
    """The variable by which hpcmtl keeps the working directory out of its interpreters does not reach them."""
    code = "import os, sys; from hpcmtl.launch.interpreter import leave_out_working_directory as leave; leave(); "
    code += "print(os.environ.get('PYTHONSAFEPATH'))"
    told = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": str(CHECKOUT), "PYTHONSAFEPATH": value},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for value in ("hpcmtl", "1")
    ]

    assert told == ["None", "1"]

"""The set-up: a second call does nothing, what is missing is said before any work, half an installation is not used."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import hpcmtl

ROOT = Path(hpcmtl.__file__).parents[1]
# What the script uses of a system before it needs a compiler.
COREUTILS = ("bash", "cat", "cut", "dirname", "find", "flock", "ls", "mkdir", "realpath", "sed", "sha256sum")


def bootstrap(venv, *words, root=ROOT, **environ):
    """Call the script as a shell would and return what came of it."""
    return subprocess.run(
        [root / "launchers/bootstrap.sh", *words],
        env={"HOME": str(venv.parent), "PATH": os.environ["PATH"], "HPCMTL_VENV": str(venv), **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def bare_path(tmp_path):
    """A PATH with this Python and the basic commands, and no compiler."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in COREUTILS:
        (folder / name).symlink_to(shutil.which(name))
    (folder / "python3.11").symlink_to(getattr(sys, "_base_executable", sys.executable))
    return folder


@pytest.mark.skipif(
    not Path(sys.prefix, "hpcmtl.stamp").exists() or Path(sys.prefix).resolve().parent != ROOT,
    reason="bootstrap.sh did not make this environment for this checkout, and would make it anew",
)
def test_a_second_call_does_nothing():
    """On a finished environment the script says one line and runs nothing."""
    venv = Path(sys.prefix)
    before = {path: path.stat().st_mtime_ns for path in venv.iterdir()}
    done = bootstrap(venv, HPCMTL_MPI=(venv / "hpcmtl.kind").read_text().split()[1])

    assert (done.returncode, done.stderr) == (0, f"hpcmtl: environment {venv} is up to date\n")
    assert before == {path: path.stat().st_mtime_ns for path in venv.iterdir()}


@pytest.mark.parametrize("missing", ["gcc", "make"])
def test_a_missing_compiler_is_said_before_any_work(tmp_path, bare_path, missing):
    """Without a compiler or make the call ends with 3 and the remedy, and has made nothing."""
    for name in {"gcc", "g++", "make"} - {missing}:
        (bare_path / name).symlink_to("/bin/true")
    done = bootstrap(tmp_path / "venv", PATH=str(bare_path))

    assert done.returncode == 3
    assert f"no {missing} on PATH" in done.stderr
    assert "instead: install a compiler" in done.stderr
    assert not (tmp_path / "venv").exists()


@pytest.mark.parametrize(
    ("words", "environ", "message"),
    [
        (["--extras", "horrovod"], {}, "no extra is called horrovod"),
        (["--extras", "horovod"], {}, "the extra horovod is built against mxnet"),
        (["--fast"], {}, "does not know --fast"),
        ([], {"HPCMTL_FRAMEWORKS": "pytorch"}, "HPCMTL_FRAMEWORKS=pytorch is not known"),
        ([], {"HPCMTL_MPI": "mpich"}, "HPCMTL_MPI=mpich is not known"),
        ([], {"HPCMTL_PYTHON": "python9.9"}, "no CPython 3.10 or 3.11 found (tried python9.9)"),
    ],
)
def test_what_cannot_be_made_is_refused(tmp_path, words, environ, message):
    """A wrong option, extra, MPI or Python ends with 3, the reason and what to write, and makes nothing."""
    done = bootstrap(tmp_path / "venv", *words, **environ)

    assert done.returncode == 3
    assert message in done.stderr
    assert "instead: " in done.stderr
    assert not (tmp_path / "venv").exists()


def test_a_system_mpi_must_be_there(tmp_path, bare_path):
    """HPCMTL_MPI=system without mpicc is refused."""
    done = bootstrap(tmp_path / "venv", "--extras", "train", PATH=str(bare_path), HPCMTL_MPI="system")

    assert done.returncode == 3
    assert "no mpicc on PATH" in done.stderr


def test_a_folder_of_somebody_else_is_left_alone(tmp_path):
    """A place that the script has not made is refused, and what is in it stays."""
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv/thesis.tex").touch()
    done = bootstrap(tmp_path / "venv", "--extras", "train")

    assert done.returncode == 3
    assert "bootstrap.sh did not create it" in done.stderr
    assert [path.name for path in (tmp_path / "venv").iterdir()] == ["thesis.tex"]


@pytest.fixture
def small_checkout(tmp_path):
    """A checkout whose packages cannot be had: its constraints contradict themselves, so that pip fails at once."""
    root = tmp_path / "checkout"
    shutil.copytree(ROOT / "launchers", root / "launchers")
    (root / "requirements").mkdir()
    for version in ("3.10", "3.11"):
        (root / f"requirements/python-{version}.txt").write_text("setuptools==1\nsetuptools==2\n")
    (root / "setup.py").touch()
    return root


@pytest.mark.slow
def test_a_failed_step_shows_its_log_and_leaves_nothing_finished(tmp_path, small_checkout):
    """A step that fails ends with 3, its reason and the log; the next call does not take the rest for finished."""
    venv = tmp_path / "venv"
    for _ in range(2):
        done = bootstrap(venv, "--extras", "train", root=small_checkout)

        assert done.returncode == 3
        assert "build tools FAILED after " in done.stderr
        assert "ERROR: " in done.stderr
        assert f"the whole log: {venv}/logs/build-tools" in done.stderr
        assert not (venv / "hpcmtl.stamp").exists()


@pytest.mark.slow
def test_what_was_cut_off_is_installed_again(tmp_path, small_checkout):
    """A package without the mark that pip writes last is forgotten, so that pip installs it anew."""
    venv = tmp_path / "venv"
    bootstrap(venv, "--extras", "train", root=small_checkout)
    packages = next(venv.glob("lib/python3*/site-packages"))
    (packages / "half-1.0.dist-info").mkdir()
    (packages / "half-1.0.dist-info/METADATA").touch()
    bootstrap(venv, "--extras", "train", root=small_checkout)

    assert not (packages / "half-1.0.dist-info").exists()
    assert list(packages.glob("pip-*.dist-info"))

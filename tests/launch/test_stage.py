"""A copy of an environment works alone, with hpcmtl in it."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

import hpcmtl

LAUNCHERS = Path(hpcmtl.__file__).parents[1] / "launchers"
WHERE = "import hpcmtl, sys, yaml; print(sys.prefix, hpcmtl.__file__, sep='\\n')"


def stage(python, folder, **environ):
    """Calls the script as the batch script does."""
    return subprocess.run(
        [LAUNCHERS / "stage.sh", python, folder],
        env={**os.environ, "PYTHONPATH": str(LAUNCHERS.parent), **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def python(tmp_path):
    """The Python of an environment that finds the libraries of this one by their folder."""
    folder = tmp_path / "environment"
    venv.create(folder, symlinks=True)
    libraries = folder / Path(sysconfig.get_path("purelib")).relative_to(sys.prefix)
    (libraries / "others.pth").write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    return folder / "bin" / "python"


def test_a_copy_has_hpcmtl(python, tmp_path):
    """The printed Python is that of the copy, and it imports hpcmtl from there, though it was installed in place."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    done = stage(python, folder)
    copy = Path(done.stdout.strip())
    environ = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    run = subprocess.run([copy, "-c", WHERE], env=environ, cwd=tmp_path, capture_output=True, text=True, check=True)
    prefix, package = map(Path, run.stdout.split("\n")[:2])

    assert (done.returncode, copy) == (0, folder / "environment" / "bin" / "python")
    assert prefix == folder / "environment"
    assert package.is_relative_to(prefix)
    assert sorted(path.name for path in folder.iterdir()) == ["environment", "unpacked", "unpacking"]  # no archive


def test_what_cannot_be_copied_leaves_nothing(python, tmp_path):
    """Where the folder is not there, or too small, or the Python has no hpcmtl, it fails and prints no Python."""
    bare = tmp_path / "bare"
    venv.create(bare, symlinks=True)

    assert (stage(python, tmp_path / "missing").returncode, stage(python, tmp_path / "missing").stdout) == (2, "")
    without = stage(bare / "bin" / "python", tmp_path, PYTHONPATH="")
    assert (without.returncode, without.stdout) == (1, "")
    assert "cannot import hpcmtl" in without.stderr
    (tmp_path / "small").mkdir()
    small = subprocess.run(
        ["bash", "-c", 'ulimit -f 100; exec "$0" "$@"', LAUNCHERS / "stage.sh", python, tmp_path / "small"],
        env={**os.environ, "PYTHONPATH": str(LAUNCHERS.parent)},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (small.returncode != 0, small.stdout, list((tmp_path / "small").iterdir())) == (True, b"", [])

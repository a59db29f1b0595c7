"""A process of hpcmtl is free from settings of Python that are meant for other programs."""

import gc
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from runs import CHECKOUT

from hpcmtl.cli.app import main
from hpcmtl.launch.interpreter import (
    ignore_strict_warnings,
    imports,
    leave_out_foreign,
    replaced_by,
    warnings_are_no_errors,
)


@pytest.fixture
def python_path(monkeypatch):
    """Return a function that puts folders on PYTHONPATH and `sys.path`, as at the start of Python."""

    def put(*folders):
        environ = {"PYTHONPATH": os.pathsep.join(map(str, folders))}
        monkeypatch.setattr(sys, "path", [*map(str, folders), *sys.path])
        return environ

    return put


SWALLOWING = """
import os, signal
from hpcmtl.launch.interpreter import imports
with imports():
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        print("swallowed")
print("went on")
"""


def test_an_interrupt_during_imports_ends_the_process():
    """A library that swallows KeyboardInterrupt while it is imported does not swallow the user's Ctrl-C."""
    command = ["env", "--default-signal=INT", sys.executable, "-c", SWALLOWING]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert (done.returncode, done.stdout) == (-signal.SIGINT, "")


def test_imports_leave_signals_and_collection_as_they_were():
    """The collector of garbage rests during imports alone, and a handler of the program stays where there is one."""
    before, collects = signal.getsignal(signal.SIGINT), gc.isenabled()
    with imports():
        assert not gc.isenabled()

    assert (signal.getsignal(signal.SIGINT), gc.isenabled()) == (before, collects)


def test_folders_that_replace_libraries_are_left_out(tmp_path, python_path):
    """Another numpy is taken off the path; modules beside one with the name of one of Python are found last."""
    for name in ("site/numpy/__init__.py", "names/logging.py", "own/my_network.py"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    environ = python_path(tmp_path / "site", tmp_path / "names", tmp_path / "own")
    sentences = leave_out_foreign(environ)

    assert [("numpy" in each, "logging" in each) for each in sentences] == [(True, False), (False, True)]
    assert environ == {"PYTHONPATH": str(tmp_path / "own"), "HPCMTL_PYTHONPATH_LAST": str(tmp_path / "names")}
    assert str(tmp_path / "own") in sys.path
    assert str(tmp_path / "site") not in sys.path
    assert sys.path[-1] == str(tmp_path / "names")


def test_ranks_search_the_same_folders_last(tmp_path, python_path):
    """A rank finds what its launcher put last; it says nothing again."""
    environ = {**python_path(), "HPCMTL_PYTHONPATH_LAST": str(tmp_path)}

    assert leave_out_foreign(environ) == []
    assert sys.path[-1] == str(tmp_path)
    assert leave_out_foreign(environ) == []
    assert sys.path.count(str(tmp_path)) == 1


def test_a_folder_with_what_the_installation_lacks_belongs_to_it(tmp_path, python_path, monkeypatch):
    """A site's folder that alone provides a library stays, whatever else is in it."""
    for name in ("numpy", "only_here"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    monkeypatch.setattr("hpcmtl.launch.interpreter.LIBRARIES", frozenset({"numpy", "only_here"}))

    assert leave_out_foreign(python_path(tmp_path)) == []
    assert replaced_by(tmp_path / "missing", sys.path) == []


def test_warnings_are_errors_no_longer(monkeypatch):
    """PYTHONWARNINGS=error is ignored with a sentence: Horovod warns in normal use. Other values are left alone."""
    environ = {"PYTHONWARNINGS": "error"}
    with warnings.catch_warnings():
        sentences = ignore_strict_warnings(environ)
        warnings.warn("as Horovod does", DeprecationWarning, stacklevel=1)

    assert [each.split(" is ")[0] for each in sentences] == ["PYTHONWARNINGS=error"]
    assert environ == {}
    assert ignore_strict_warnings({"PYTHONWARNINGS": "ignore,default::UserWarning"}) == []


def test_a_program_whose_warnings_are_errors():
    """Libraries may warn while it runs a job, and its filters are back afterwards; other filters are not touched."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with warnings_are_no_errors() as strict:
            warnings.warn("as SciPy does", DeprecationWarning, stacklevel=1)
        with pytest.raises(DeprecationWarning):
            warnings.warn("as a program does", DeprecationWarning, stacklevel=1)
        warnings.resetwarnings()
        warnings.simplefilter("ignore")
        before = [*warnings.filters]
        with warnings_are_no_errors() as lenient:
            inside = [*warnings.filters]

    assert (strict, lenient) == (True, False)
    assert inside == before


def started(redirection, *words, **environ):
    """Run the command in a shell with a redirection; return its exit code and stderr."""
    command = f'"{sys.executable}" -m hpcmtl {" ".join(words)} {redirection}'
    everything = {**os.environ, "PYTHONPATH": str(CHECKOUT), **environ}
    done = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, check=False, timeout=60, env=everything
    )
    return done.returncode, done.stderr


def test_closed_and_full_outputs_get_a_sentence():
    """A closed stdout is no error; one that cannot be written ends the command with 3, and no traceback."""
    closed, full = started(">&-", "schema"), started(">/dev/full", "schema")

    assert closed == (0, "hpcmtl: stdout is closed: what the command prints there is lost\n")
    assert full[0] == 3
    assert full[1].startswith("hpcmtl: standard output cannot be written (No space left on device)")
    assert full[1].count("\n") == 1


def test_python_keeps_the_exit_code_with_pythoninspect(tmp_path):
    """Python prints a traceback in place of an exit code if the variable is set: a refusal stays 2, in one sentence."""
    missing = tmp_path / "missing.yaml"
    code, told = started("</dev/null", "validate", "--static", str(missing), PYTHONINSPECT="1")

    assert code == 2
    assert "Traceback" not in told
    assert str(missing) in told


def test_a_full_disk_elsewhere_is_not_taken_for_stdout(monkeypatch, capfd):
    """An error of another file, whose name Python often does not know, stays as it is; output before it is written."""

    def fill():
        sys.stdout.write("written\n")
        with Path("/dev/full").open("wb", buffering=0) as file:
            file.write(b"lost")

    monkeypatch.setattr("hpcmtl.cli.verbs.app", fill)
    with pytest.raises(OSError, match="No space left on device") as raised:
        main()

    assert raised.value.filename is None
    assert capfd.readouterr() == ("written\n", "")

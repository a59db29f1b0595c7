"""On a terminal a run shows bars while it works, and a table at its end."""

import os
import pty
import re
import select
import subprocess
import sys

import pytest
from jobs import family, family_task, write_job
from runs import CHECKOUT

pytestmark = [pytest.mark.slow, pytest.mark.mpi, pytest.mark.timeout(450)]


def on_terminal(folder, stdout=None, **env):
    """Run the job of a folder with its stderr, and its stdout unless told otherwise, on a terminal; return its text."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "hpcmtl", "run", "job.yaml", "--runs", "runs"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1", "TERM": "xterm", **env},
        stdin=slave,
        stdout=stdout or slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    said = b""
    try:
        while select.select([master], [], [], 90)[0] and (part := read(master)):
            said += part
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(30)
        os.close(master)
    assert process.returncode == 0, said
    return said.decode()


def read(master):
    """Returns the next output of the terminal; nothing when its last process has gone."""
    try:
        return os.read(master, 65536)
    except OSError:
        return b""


@pytest.fixture
def folder(tmp_path, digits_file):
    """A folder with a job that trains for a second or two."""
    task = family_task("digit", input="digits/images", epochs=30, layers=2, ranks=2)
    write_job(tmp_path, family(ranks=2, tasks={"digit": task}), digits_file)
    return tmp_path


def test_bars_and_table(folder):
    """Bars are drawn over and over in place, and the table comes last, in colour."""
    said = on_terminal(folder)
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", said)

    assert "━" in said
    assert re.search(r"digit .*%.*layer [12]/2.*samples/s.*2 ranks", plain)
    assert "\x1b[32mcomplete" in said
    assert plain.rindex("1 of 1 task complete") > plain.rindex("samples/s")


def test_stdout_in_a_file(folder):
    """A table that goes to a file has no colours, whatever the other stream is."""
    with (folder / "table.txt").open("w") as file:
        said = on_terminal(folder, file)

    assert "━" in said
    assert "\x1b" not in (folder / "table.txt").read_text()
    assert "1 of 1 task complete" in (folder / "table.txt").read_text()


def test_no_color(folder):
    """NO_COLOR takes the colours out of bars and table."""
    said = on_terminal(folder, NO_COLOR="1")
    colours = re.findall(r"\x1b\[(?:3[0-7]|9[0-7]|38;[0-9;]+)m", said)

    assert "1 of 1 task complete" in said
    assert colours == []

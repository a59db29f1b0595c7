"""The clock of the start of MPI, without MPI: what it says, and whom it ends."""

import os
import signal
import subprocess
import sys

import psutil
import pytest

from hpcmtl.communicators import start_deadline as module
from hpcmtl.communicators.start_deadline import start_deadline

pytestmark = pytest.mark.slow  # each waits for a deadline

RANK = """
import sys, time
from pathlib import Path
from hpcmtl.communicators import start_deadline as module
seconds, rank, ranks, daemon = map(int, sys.argv[1:5])
folder = sys.argv[5]
module.launchers_daemon = lambda: daemon
with module.start_deadline(seconds, rank, ranks, Path(folder) if folder else None, "hostA"):
    time.sleep(60)
"""


@pytest.fixture
def daemon():
    """A process in place of the launcher's daemon."""
    process = subprocess.Popen(["sleep", "120"])
    yield process
    process.kill()
    process.wait()


def started(folder, rank, ranks, daemon, seconds=1):
    """Starts a rank that waits for MPI."""
    words = [str(seconds), str(rank), str(ranks), str(daemon), str(folder or "")]
    return subprocess.Popen(
        [sys.executable, "-c", RANK, *words], stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def said_by(daemon, *ranks):
    """Waits until ranks have ended the daemon; returns what they said, and ends them."""
    assert daemon.wait(20) == -signal.SIGTERM
    texts = []
    for rank in ranks:
        rank.kill()
        texts.append(rank.communicate(timeout=30)[1])
    return texts


def test_who_has_not_come_is_named_once(tmp_path, daemon):
    """The first rank at its deadline names the missing ranks and the hosts of the others, and ends the daemon."""
    folder = tmp_path / ".ended.1.ranks"
    texts = said_by(daemon, *(started(folder, rank, 4, daemon.pid) for rank in (1, 3)))

    assert sum("of 4 ranks these have not come: 0 2" in text for text in texts) == 1
    assert sum("on:  2 hostA;" in text for text in texts) == 1
    assert (tmp_path / ".ended.1").read_text() == "3\n"


def test_all_have_come(tmp_path, daemon):
    """Where all ranks are there, the network between them is named and no host is accused."""
    (text,) = said_by(daemon, started(tmp_path / ".ended.1.ranks", 0, 1, daemon.pid))

    assert "but all 1 ranks have come" in text
    assert "HPCMTL_INTERFACE" in text


@pytest.mark.parametrize("folder", ["", "/proc/none"])
def test_without_a_folder(daemon, folder):
    """Without a folder, or with one that cannot be made, the rank says what it knows, and the daemon is ended."""
    (text,) = said_by(daemon, started(folder, 2, 4, daemon.pid))

    assert "rank 2: MPI has not started within 1 s: another rank has not come" in text


def test_a_daemon_that_gets_no_signal():
    """Where the daemon is not ours, as under Slurm, the rank is ended."""
    rank = started("", 0, 2, 2**22 - 1)  # no such process

    assert rank.wait(30) == -signal.SIGKILL
    rank.stderr.close()


def test_a_start_in_time_leaves_nothing(tmp_path, monkeypatch):
    """After the start, and after an error in it, the clock is gone."""
    monkeypatch.setattr(module, "launchers_daemon", os.getpid)
    with start_deadline(60, 0, 2, tmp_path / "ranks", "hostA"):
        pass
    with pytest.raises(ImportError), start_deadline(60, 0, 2, None, "hostA"):
        raise ImportError("no libmpi")

    assert [child for child in psutil.Process().children() if "start_deadline" in " ".join(child.cmdline())] == []

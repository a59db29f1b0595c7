"""The view that a command has of the ranks that it started."""

import pytest
from runs import run_python

from hpcmtl.cli import world

INTERRUPTED = """
import sys
from pathlib import Path
from hpcmtl.cli import world
launcher = "trap 'exit 1' USR1; kill -INT $PPID; while :; do read -r -t 0.1 _ < <(:) || :; done"
world.mpirun_command = lambda *_: ["bash", "-c", launcher]
sys.exit(world.start_ranks(2, ["run", "job.yaml"], Path(sys.argv[1])))
"""


def test_an_interrupt_before_the_run_begins_is_no_failure(tmp_path):
    """Ctrl-C while the ranks start ends the command with the code of the signal, and says that nothing was written."""
    done = run_python(tmp_path, "-c", INTERRUPTED, tmp_path)

    assert done.returncode == 130, done.stderr
    assert "interrupted before the run began: nothing was written" in done.stderr
    assert "failed" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("played", "code"),
    [
        ("exit 0", 1),
        ("exit 9", 9),
        ("kill -9 $$", 1),
        ("exit 137", 1),
        ('echo 75 > "$HPCMTL_EXIT_CODE_FILE"', 75),
        ('echo 0 > "$HPCMTL_EXIT_CODE_FILE"', 0),
        ('echo 0 > "$HPCMTL_EXIT_CODE_FILE"; exit 6', 6),
        ('echo half > "$HPCMTL_EXIT_CODE_FILE"', 1),
    ],
)
def test_a_launchers_0_is_not_believed(monkeypatch, tmp_path, capsys, played, code):
    """The word of the rank that leads counts where the launcher says 0; without one the run has failed."""
    monkeypatch.setattr(world, "mpirun_command", lambda *_: ["sh", "-c", played])

    assert world.start_ranks(2, ["run", "job.yaml"], tmp_path) == code
    assert list(tmp_path.iterdir()) == []
    said = capsys.readouterr().err
    assert ("no rank reported the end of the run" in said) == (code in {1, 9})
    assert ("no run directory was made" in said) == (code in {1, 9})
    assert ("SIGKILL" in said) == (played in {"kill -9 $$", "exit 137"})

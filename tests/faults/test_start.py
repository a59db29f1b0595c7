"""A rank that does not come to the start of MPI is named, and the run ends with 3 in place of a wait for ever."""

import socket

import pytest
from jobs import family, family_task

pytestmark = pytest.mark.slow

WHAT = {"dies": "os._exit(1)", "hangs": "time.sleep(600)", "is killed": "os.kill(os.getpid(), 9)"}


@pytest.mark.parametrize(
    "what", ["dies", *(pytest.param(each, marks=pytest.mark.slow) for each in ("hangs", "is killed"))]
)
def test_a_rank_that_does_not_come(start, tmp_path, what):
    """The run ends at the deadline, and says which rank it was that died, was killed, or hangs before MPI."""
    (tmp_path / "sitecustomize.py").write_text(
        f"import os, time\nif os.environ.get('OMPI_COMM_WORLD_RANK') == '2':\n    {WHAT[what]}\n", encoding="utf-8"
    )
    job = family(ranks=3, tasks={"digit": family_task("digit", input="digits/images", epochs=1)})
    env = {"PYTHONPATH": str(tmp_path), "HPCMTL_START_SECONDS": "10"}
    run = start(job, env=env).finish(60)

    assert run.returncode == 3, run.said
    assert "MPI has not started within 10 s: of 3 ranks these have not come: 2" in run.stderr, run.said
    assert f"on:  2 {socket.gethostname()}; look for the host that is missing" in run.stderr, run.said
    assert [path.name for path in run.folder.iterdir() if path.name.startswith(".ended")] == []
    assert run.leftovers(25) == []

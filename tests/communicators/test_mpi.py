"""Properties of MPI alone: failing ranks end the run, and an MPI that cannot serve us is refused."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).parents[1] / "mpi" / "fail_on_one_rank.py"
ALGORITHM = "OMPI_MCA_coll_tuned_reduce_scatter_block_algorithm"


@pytest.mark.parametrize(
    ("how", "code", "error"),
    [
        ("bug", 1, "ZeroDivisionError: in user code"),
        ("thread", 1, "ZeroDivisionError: in user code"),
        ("unfit", 3, "no such device"),
        ("exit", 1, "SystemExit: 0"),
    ],
)
def test_one_rank_that_fails_ends_all(mpirun, how, code, error):
    """The others, in a collective that will never end, go too; exit code and traceback are those of the one."""
    done = mpirun(3, [sys.executable, str(PROGRAM), how], timeout=30, env={"HPCMTL_FT": "0"})

    assert done.returncode == code
    words = "ends the run: no such device" if how == "unfit" else "failed and ends the run"  # a refusal is a sentence
    assert f"rank 2 of 3 {words}" in done.stderr
    assert ("Traceback" in done.stderr) == (how != "unfit")
    assert error in done.stderr


@pytest.mark.parametrize(("ranks", "how"), [(2, "thread"), (4, "unfit")])
def test_one_rank_that_fails_ends_all_that_could_outlive_it(mpirun, ranks, how):
    """Where MPI_Abort is the end of one rank alone, the others are ended all the same, and the exit code is not 0."""
    done = mpirun(ranks, [sys.executable, str(PROGRAM), how], timeout=30)

    assert done.returncode != 0
    assert f"rank {ranks - 1} of {ranks} " in done.stderr
    assert "ends the run" in done.stderr


@pytest.mark.parametrize(("given", "algorithm"), [({}, 4), ({ALGORITHM: "3"}, 3)])
def test_the_reduce_scatter_is_the_butterfly(mpirun, given, algorithm):
    """Open MPI has read the algorithm of ours on each rank, or that of the user."""
    done = mpirun(2, [sys.executable, str(PROGRAM.with_name("say_setting.py"))], env=given)

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"algorithm {algorithm}"] * 2


@pytest.mark.parametrize(
    ("given", "components"), [({}, "^han"), ({"HPCMTL_FT": "0"}, ""), ({"OMPI_MCA_coll": "^ucc"}, "^ucc")]
)
def test_a_component_that_crashes_survivors_is_left_out(mpirun, given, components):
    """Where ranks may be lost, Open MPI has read that it is not to take `han`; the user's choice stays."""
    done = mpirun(2, [sys.executable, str(PROGRAM.with_name("say_setting.py")), "coll"], env=given)

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"components {components}"] * 2


def test_an_mpi_without_threads_is_refused(mpirun):
    """MPI at a lower thread level is found at the start, with what to do about it."""
    program = "from hpcmtl.communicators import mpi; mpi.world()"
    done = mpirun(1, [sys.executable, "-c", program], env={"MPI4PY_RC_THREAD_LEVEL": "serialized"})

    assert done.returncode != 0
    assert "hpcmtl needs MPI_THREAD_MULTIPLE" in done.stderr
    assert "Unset MPI4PY_RC_THREAD_LEVEL" in done.stderr


def test_a_machine_without_mpi4py_is_told_so(tmp_path):
    """The remedy is named where mpi4py is missing, as on a login node."""
    (tmp_path / "mpi4py.py").write_text("raise ImportError('No module named mpi4py')")
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from hpcmtl.communicators import mpi; mpi.world()"
    checkout = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=checkout, capture_output=True, text=True, check=False)

    assert "EnvironmentUnfitError: mpi4py cannot start MPI" in done.stderr
    assert "launchers/bootstrap.sh" in done.stderr


def test_only_world_starts_mpi():
    """Importing every module of the room imports no mpi4py, so a login node can."""
    program = (
        "import sys; from hpcmtl.communicators import base, inproc, polling, mpi, outcome; "
        "sys.exit('mpi4py' in sys.modules)"
    )
    checkout = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=checkout, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr

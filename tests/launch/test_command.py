"""Commands that start ranks, word by word; delete a golden file to accept a change."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hpcmtl.errors import EnvironmentUnfitError
from hpcmtl.launch import command
from hpcmtl.launch.command import mpirun_command
from hpcmtl.launch.hosts import parse_hosts

LAUNCHERS = Path(command.__file__).parents[2] / "launchers"
GOLDEN = Path(__file__).parent / "golden"
AS_ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}  # if the tests are run so
MANY = 100_000  # more ranks than any machine has cores
# OMPI_MCA_btl is set by the launchers themselves where there is no fast network.
ENVIRON = {"HPCMTL_TEST": "1", "OMPI_MCA_btl": "tcp,sm,self", "OTHER": "1", "PYTHONPATH": "/x"}


def dry_run(launcher, ranks, *program, **environ):
    """Return the words that a launcher would start."""
    done = subprocess.run(
        [LAUNCHERS / launcher, "-np", str(ranks), *program],
        env={
            "PATH": os.environ["PATH"],
            "HOME": os.environ["HOME"],
            "HPCMTL_LAUNCH_DRY_RUN": "1",
            "OMP_NUM_THREADS": "1",
            **environ,
        },
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return done.stdout.splitlines()


@pytest.mark.parametrize("ranks", [1, MANY])
@pytest.mark.parametrize("launcher", ["mpirun.sh", "horovodrun.sh", "srun.sh"])
def test_words_of_the_launchers(launcher, ranks):
    """Each launcher starts exactly the command that is on record, with room on the cores and without."""
    words = dry_run(launcher, ranks, "hpcmtl", "run", "a b.yaml", **ENVIRON)
    words = [word for word in words if word != "--allow-run-as-root"]  # for root alone
    record = GOLDEN / f"{Path(launcher).stem}-{ranks}.txt"
    if not record.exists():
        record.parent.mkdir(exist_ok=True)
        record.write_text("\n".join(words) + "\n")
        pytest.fail(f"no record of {launcher}: wrote {record}; look at it, and commit it")

    assert record.read_text().splitlines() == words


def test_root_is_allowed_and_only_root_asks():
    """Open MPI is told to run as root by root, and by nobody else."""
    assert ("--allow-run-as-root" in dry_run("mpirun.sh", 1, "true")) == (os.geteuid() == 0)


def test_ranks_outlive_others_unless_one_does_not_want_that():
    """Open MPI 5 is asked to go on without ranks that die, and not if `HPCMTL_FT` is 0."""
    words = " ".join(dry_run("mpirun.sh", 2, "true")), " ".join(dry_run("mpirun.sh", 2, "true", HPCMTL_FT="0"))

    assert ["--with-ft ulfm" in each for each in words] == [True, False]


def test_the_mpirun_beside_a_program_is_taken(tmp_path):
    """A Python given by path gets the mpirun of its own environment."""
    for name in ("python", "mpirun"):
        (tmp_path / name).touch(mode=0o755)

    assert dry_run("mpirun.sh", 1, str(tmp_path / "python"))[0] == str(tmp_path / "mpirun")
    assert dry_run("mpirun.sh", 1, "python")[0] == "mpirun"


@pytest.mark.parametrize("launcher", ["mpirun", "srun"])
def test_a_missing_mpi_is_unfit_and_not_a_matter_of_the_shell(tmp_path, launcher):
    """Without mpirun or srun a launcher ends with 3 and the remedy, not with 127 of the shell."""
    shutil.copytree(LAUNCHERS, tmp_path / "launchers")
    for tool in ("bash", "dirname", "env", "nproc", "sort", "grep", "id", "basename"):
        (tmp_path / tool).symlink_to(shutil.which(tool))
    command_line = [tmp_path / "launchers" / f"{launcher}.sh", "-np", "2", "true"]
    environ = {"PATH": str(tmp_path)}
    done = subprocess.run(command_line, env=environ, capture_output=True, text=True, check=False, timeout=30)

    assert done.returncode == 3
    assert f"hpcmtl: {launcher} not found" in done.stderr
    assert "instead: " in done.stderr


@pytest.mark.parametrize("words", [[], ["-np"], ["-np", "0", "x"], ["-np", "two", "x"], ["-np", "2"], ["2", "x"]])
@pytest.mark.parametrize("launcher", ["mpirun.sh", "horovodrun.sh", "srun.sh"])
def test_unclear_calls_get_the_usage(launcher, words):
    """A call without a number of ranks or a program ends with 2 and shows how to call it."""
    done = subprocess.run([LAUNCHERS / launcher, *words], capture_output=True, text=True, check=False, timeout=30)

    assert done.returncode == 2
    hosts = "" if launcher == "srun.sh" else " [-H HOST:SLOTS,... | --hostfile FILE]"
    assert f"usage: launchers/{launcher} -np RANKS{hosts} PROGRAM" in done.stderr


def called_with_hosts(*words):
    """Calls a launcher for a dry run with a list of hosts."""
    environ = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "HPCMTL_LAUNCH_DRY_RUN": "1", "CARRIED": "1"}
    return subprocess.run(
        [LAUNCHERS / "mpirun.sh", *words], env=environ, capture_output=True, text=True, check=False, timeout=30
    )


def test_a_list_of_hosts(tmp_path):
    """A list and a file of hosts give one command: slots, daemons' settings, and the environment without PATH."""
    file = tmp_path / "hosts"
    file.write_text("# all of ours\nnode1 slots=2\n\nnode2.site slots=1 # the small one")
    listed = called_with_hosts("-np", "3", "-H", "node1:2,node2.site:1", "--", "hpcmtl", "run")
    read = called_with_hosts("--hostfile", file, "hpcmtl", "run")  # all slots
    words = listed.stdout.splitlines()

    assert read.stdout == listed.stdout
    assert words[1:3] == ["-np", "3"]
    assert words[words.index("--host") + 1] == "node1:2,node2.site:1"
    assert words[-3:] == [str(LAUNCHERS / "rank.sh"), "hpcmtl", "run"]
    carried = {words[k + 1] for k, word in enumerate(words) if word == "-x"}
    assert "CARRIED" in carried
    assert not carried & {"PATH", "HOME", "OMP_NUM_THREADS"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-np", "2", "-H", "node1"], "'node1' is no NAME:SLOTS"),
        (["-np", "2", "-H", "node1:0"], "'node1:0' is no NAME:SLOTS"),
        (["-np", "2", "-H", "-oProxyCommand=x:1"], "'-oProxyCommand=x' is no name of a host"),
        (["-np", "2", "-H", "node1:2,node1:2"], "node1 is given twice"),
        (["-np", "5", "-H", "node1:2,node2:2"], "5 ranks do not fit into the 4 slots"),
        (["-np", "2", "--hostfile", "/nowhere"], "/nowhere cannot be read"),
        (["-np", "2", "--hostfile", "/etc/passwd"], "is no 'NAME slots=SLOTS'"),
    ],
)
def test_hosts_that_are_refused(words, said):
    """A text that is no list of hosts, or too few slots for the ranks, end with 2 and says how to write it."""
    done = called_with_hosts(*words, "true")

    assert done.returncode == 2
    assert said in done.stderr
    assert "write -H node1:4,node2:4" in done.stderr


def test_mpirun_command_names_the_launcher_of_the_checkout():
    """The command is the launcher, the ranks and the program's words unchanged."""
    mpirun = str(LAUNCHERS / "mpirun.sh")

    assert mpirun_command(3, ["p", "--x=1 2"]) == [mpirun, "-np", "3", "p", "--x=1 2"]
    assert mpirun_command(3, ["p"], parse_hosts("a:2,b:1")) == [mpirun, "-np", "3", "-H", "a:2,b:1", "p"]


def test_missing_launchers_are_said_with_the_places(monkeypatch, tmp_path):
    """Without launchers the error says where they were looked for and what to do."""
    monkeypatch.setattr(command, "ROOT", tmp_path)
    monkeypatch.setattr(command.sysconfig, "get_path", lambda _: str(tmp_path))
    monkeypatch.setattr(command.site, "getuserbase", lambda: str(tmp_path))

    with pytest.raises(EnvironmentUnfitError, match=f"mpirun.sh not found in {tmp_path}.*install hpcmtl"):
        mpirun_command(2, ["p"])


@pytest.mark.mpi
@pytest.mark.parametrize("launcher", ["mpirun.sh", pytest.param("horovodrun.sh", marks=pytest.mark.slow)])
def test_ranks_of_one_world(launcher):
    """The real launchers make one world of 2 unbound ranks; what they print comes through unmarked."""
    code = "import os; from mpi4py import MPI; print(MPI.COMM_WORLD.size, len(os.sched_getaffinity(0)), flush=True)"
    program = [LAUNCHERS / launcher, "-np", "2", sys.executable, "-c", code]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        program, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False, timeout=90
    )

    assert done.stdout.split("\n") == [f"2 {len(os.sched_getaffinity(0))}"] * 2 + [""], done.stderr
    assert done.returncode == 0


@pytest.mark.mpi
@pytest.mark.parametrize("launcher", ["mpirun.sh", pytest.param("horovodrun.sh", marks=pytest.mark.slow)])
def test_a_failing_rank_ends_the_launcher_with_its_code(launcher):
    """The exit code of a program that fails comes through the launcher."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        [LAUNCHERS / launcher, "-np", "2", sys.executable, "-c", "raise SystemExit(7)"],
        env={**os.environ, "PATH": path},
        capture_output=True,
        check=False,
        timeout=90,
    )

    assert done.returncode == 7


@pytest.mark.mpi
@pytest.mark.parametrize("launcher", ["mpirun.sh", "openmpi5/mpirun"])
def test_what_a_killed_mpirun_left_is_no_matter(tmp_path, launcher):
    """A start by mpirun, which names its files by its process number, is not stopped by what that number has left."""
    # That of the launcher or of a process that it starts soon: numbers are given in order.
    make = 'mkdir $(seq -f "$TMPDIR/ompi.%.0f" $$ $(($$ + 900)))'
    make += '; touch $(seq -f "$TMPDIR/ompi.%.0f/pmix.vm.tool" $$ $(($$ + 900))); exec "$@"'
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-c", make, "sh", LAUNCHERS / launcher, "-np", "1", "echo", "started"],
        env={**os.environ, "PATH": path, "TMPDIR": str(tmp_path), **AS_ROOT},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.stdout == "started\n", done.stderr
    assert done.returncode == 0
    assert len(list(tmp_path.glob("hpcmtl.*"))) == 1

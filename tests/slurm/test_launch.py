"""Ranks on the four nodes of one allocation: by mpirun, by srun with PMIx, and by srun as it must not be."""

import json
import shlex
from dataclasses import dataclass

import pytest
from batch import CHECKOUT
from jobs import family, family_task, write_job

NODES = ["n1", "n2", "n3", "n4"]
LAUNCHERS = ("mpirun", "srun")
VALUE = "a,b c"  # sbatch --export would cut it at the comma
PLACE = f"python -m mpi4py {CHECKOUT}/tests/mpi/say_place.py"
TRAIN = "python -m mpi4py -m hpcmtl run job.yaml --ranks 4 --runs runs"
# Ranks that leave one after the other, with the code of a job that has stopped; Open MPI has no part in it.
LEAVE = """bash -c 'sleep 0.$SLURM_PROCID; echo rank $SLURM_PROCID has ended; exit 75'"""


@dataclass(frozen=True)
class Outcome:
    """Returns the exit code and the output of a command of the batch script."""

    code: int
    stdout: str
    stderr: str


def _commands():
    """The commands of the batch script, by name."""
    launchers = CHECKOUT / "launchers"
    commands = {f"place {name}": f"{launchers}/{name}.sh -np 4 {PLACE}" for name in LAUNCHERS}
    commands["train"] = f"{launchers}/mpirun.sh -np 4 {TRAIN}"
    commands |= {f"wrong {name}": f"srun --mpi={name} --ntasks=4 {TRAIN}-{name}" for name in ("none", "pmi2")}
    commands["few"] = f"{launchers}/srun.sh -np 2 {PLACE}"
    commands["bare"] = f"SLURM_EXPORT_ENV=NONE {launchers}/srun.sh -np 4 {PLACE}"
    commands["leave"] = f"{launchers}/srun.sh -np 4 {LEAVE}"
    return commands


@pytest.fixture(scope="module")
def outcomes(slurm, digits_file, tmp_path_factory):
    """Runs all commands, one after the other in one allocation of four nodes, one task each."""
    folder = tmp_path_factory.mktemp("allocation")
    task = family_task("digit", input="digits/images", epochs=2, ranks=4)
    write_job(folder, family(ranks=4, tasks={"digit": task}), digits_file)
    commands = _commands()
    script = [f"export HPCMTL_TEST_VALUE={shlex.quote(VALUE)}"]
    for number, command in enumerate(commands.values()):
        script.append(f"{command} >{number}.stdout 2>{number}.stderr; echo $? >{number}.code")
    job = slurm.submit(folder, "\n".join(script), "--nodes=4", "--ntasks-per-node=1", "--exclusive").finish(180)

    assert job.state == "COMPLETED", job.output

    def outcome(number):
        said = [(folder / f"{number}.{name}").read_text() for name in ("code", "stdout", "stderr")]
        return Outcome(int(said[0]), *said[1:])

    return {name: outcome(number) for number, name in enumerate(commands)} | {"folder": folder}


def places(outcome):
    """Returns the messages of the ranks about themselves, in order."""
    assert outcome.code == 0, outcome.stderr
    return sorted((json.loads(line) for line in outcome.stdout.splitlines()), key=lambda place: place["rank"])


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_one_rank_a_node(outcomes, launcher):
    """Four ranks make one world, one on each node, and the environment of the script has reached them."""
    found = places(outcomes[f"place {launcher}"])
    name = {"mpirun": "Open MPI", "srun": "Slurm"}[launcher]

    assert [place["rank"] for place in found] == [0, 1, 2, 3]
    assert [place["node"] for place in found] == NODES
    assert {place["size"] for place in found} == {4}
    assert [place["launcher"] for place in found] == [[name, rank, 4] for rank in range(4)]
    assert {place["value"] for place in found} == {VALUE}
    assert launcher == "mpirun" or {place["fence"] for place in found} == {"ring"}


def test_fewer_ranks_than_nodes(outcomes):
    """The launcher starts as many ranks as it is told, not as many as the allocation has tasks."""
    assert [(place["size"], place["node"]) for place in places(outcomes["few"])] == [(2, "n1"), (2, "n2")]


def test_a_script_without_environment(outcomes):
    """Under `sbatch --export=NONE`, which srun inherits, the ranks still get what the script has set."""
    assert [place["value"] for place in places(outcomes["bare"])] == [VALUE] * 4


def test_a_job_over_four_nodes(outcomes):
    """A real job trains over the four nodes to its end, and knows them apart although they are one host."""
    outcome = outcomes["train"]
    (run,) = (outcomes["folder"] / "runs").iterdir()

    assert outcome.code == 0, outcome.stderr
    assert json.loads((run / "results.json").read_text())["status"] == "complete"
    assert json.loads((run / "environment.json").read_text())["hosts"] == NODES


@pytest.mark.parametrize("name", ["none", "pmi2"])
def test_worlds_of_one_rank(outcomes, name):
    """With another --mpi Open MPI makes four worlds of one rank: each refuses to train, and says what to do."""
    outcome = outcomes[f"wrong {name}"]

    assert outcome.code == 3, outcome
    assert "Slurm started 4 ranks, but MPI made a world of 1" in outcome.stderr
    assert "srun --mpi=pmix" in outcome.stderr
    assert not (outcomes["folder"] / f"runs-{name}").exists()


def test_the_code_of_ranks_that_leave_one_after_the_other(outcomes):
    """The first rank that leaves with a code of its own neither ends the others nor hides the code."""
    outcome = outcomes["leave"]

    assert sorted(outcome.stdout.splitlines()) == [f"rank {rank} has ended" for rank in range(4)]
    assert outcome.code == 75

"""The same job made in code: `hpcmtl.Job`, `hpcmtl.Task` and `hpcmtl.run` inside MPI."""

import json
import sys

import pytest
from jobs import family, python_job
from runs import by_mpirun

pytestmark = [pytest.mark.slow, pytest.mark.timeout(450)]

SCRIPT = """
import json, sys
import hpcmtl

digit = hpcmtl.Task("train", model={"name": "mlp", "outputs": 10}, input="digits/images", target="digits/digit",
                    loss="softmax_ce", metrics=["accuracy"], epochs=2, ranks=2)
count = hpcmtl.Task("python", callable="user_code:census", needs={"votes": "data"},
                    arguments={"reference": "votes/main"}, outputs=["votes"])
votes = hpcmtl.Task("predict", needs={"digit": "parameters"})
job = hpcmtl.Job(job="in_code", ranks=2, data={"digits": "digits.h5"},
                 tasks={"digit": digit, "votes": votes, "count": count})
result = hpcmtl.run(job)
print(json.dumps([result.status, [task.status for task in result.tasks], result.tasks[2].metrics["samples"]]))
"""

THREADED = """
import threading
import hpcmtl

def call():
    digit = hpcmtl.Task("train", model={"name": "mlp", "outputs": 10}, input="digits/images", target="digits/digit",
                        loss="softmax_ce", metrics=["accuracy"], epochs=1)
    print(hpcmtl.run(hpcmtl.Job(job="threaded", data={"digits": "digits.h5"}, tasks={"digit": digit})).status)

thread = threading.Thread(target=call)
thread.start()
thread.join()
"""

BAD_SCRIPT = """
import hpcmtl

try:
    hpcmtl.run(hpcmtl.Job(job="bad", data={"digits": "nowhere.h5"},
                          tasks={"count": hpcmtl.Task("python", callable="user_code:census")}))
except hpcmtl.errors.InputError as error:
    print("refused", len(error.problems))
"""


def test_a_job_in_code(start):
    """`run` gives the same result on every rank, and the run directory is made as for a job file."""
    run = start(family(), by_mpirun(2, [sys.executable, "-c"]), [SCRIPT]).finish()

    assert run.returncode == 0, run.said
    assert [json.loads(line) for line in run.stdout.splitlines()] == [["complete", ["complete"] * 3, 1797]] * 2
    assert run.results["job"] == "in_code"


def test_a_job_in_a_thread_of_a_strict_program(start):
    """A whole run works outside of the main thread, and where warnings are errors, which libraries do not know."""
    run = start(family(), [sys.executable, "-W", "error", "-c"], [THREADED]).finish()

    assert (run.returncode, run.stdout) == (0, "complete\n"), run.said
    assert run.results["tasks"]["digit"]["status"] == "complete"
    assert run.stderr.count("warnings are no errors while the job runs") == 1


def test_problems_are_raised_on_all_ranks(start):
    """A job that is not sound raises the same error on every rank, which a program can catch."""
    script = BAD_SCRIPT.replace("import hpcmtl\n", "import hpcmtl, hpcmtl.errors\n", 1)
    run = start(family(), by_mpirun(2, [sys.executable, "-c"]), [script]).finish()

    assert (run.returncode, run.stdout) == (0, "refused 1\n" * 2), run.said
    assert not (run.folder / "runs").exists()


def test_one_rank_that_fails_ends_a_program_of_the_users(start):
    """Also without mpi4py's own guard an error on one rank leaves no rank waiting."""
    script = (
        "import hpcmtl, yaml\n"
        "hpcmtl.run(hpcmtl.Job.model_validate(yaml.safe_load(open('job.yaml'))))\n"
        "print('never here')\n"
    )
    job = python_job("lone", 2, rank=1, wait="barrier")
    run = start(job, by_mpirun(2, [sys.executable, "-c"]), [script]).finish(60)

    assert run.returncode not in {0, 75}
    assert "ZeroDivisionError: on purpose, on one rank" in run.stderr
    assert "never here" not in run.stdout

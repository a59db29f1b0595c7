"""Statements about a job before it runs: the same from a file and from code, and every problem with its place."""

import pytest
import yaml
from jobs import family
from runs import run_python

from hpcmtl import Job, Task
from hpcmtl.errors import InputError
from hpcmtl.layerplan.problem.planning_problem import make_problem
from hpcmtl.layerplan.report.check import violations
from hpcmtl.layerplan.solve.policies import POLICIES
from hpcmtl.pipeline.prepare import plan, prepare


def test_code_and_file_are_the_same_job(family_file, monkeypatch):
    """A job made in code, in the folder of the data, has the graph and the plan of the same job in a file."""
    monkeypatch.chdir(family_file.parent)
    written = family()
    tasks = {name: Task(**task) for name, task in written.pop("tasks").items()}
    from_code, from_file = prepare(Job(**written, tasks=tasks)), prepare(family_file)

    assert from_code.graph == from_file.graph
    assert from_code.job == from_file.job
    assert plan(from_code) == plan(from_file)


def test_a_job_file_may_be_named_by_a_text(family_file):
    """`hpcmtl.run("job.yaml")` is what most people write first."""
    assert prepare(str(family_file)) == prepare(family_file)


def test_a_mapping_is_a_job(family_file, monkeypatch):
    """Plain values are the job that a file with them would be; what they lack is said in the words of a job file."""
    monkeypatch.chdir(family_file.parent)

    assert prepare(family()).job == prepare(family_file).job
    with pytest.raises(InputError, match="job: tasks: is missing"):
        prepare({"job": "x"})
    with pytest.raises(InputError, match="job: found a list; give the path of a job file, a hpcmtl.Job, or a mapping"):
        prepare([])


@pytest.mark.parametrize("in_file", [True, False])
def test_a_missing_data_file_has_a_remedy(in_file, tmp_path, monkeypatch):
    """A file of the examples is made by a command, which the message has, for a job in code and in a file."""
    monkeypatch.chdir(tmp_path)
    values = {**family(), "data": {"digits": "data/mnist5k.h5"}}
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(InputError) as error:
        prepare("job.yaml" if in_file else Job(**values))

    assert "data/mnist5k.h5: does not exist; make it: python " in str(error.value)
    assert f"datasets/mnist5k.py --out {tmp_path}/data/mnist5k.h5" in str(error.value)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("ranks", [1, 2, 5])
def test_ranks_and_policy_take_the_place_of_the_jobs(family_file, ranks, policy):
    """A plan is made for the ranks and by the policy that the caller names, and it is valid."""
    prepared = prepare(family_file, ranks, policy)
    made = plan(prepared)

    assert (made.ranks, made.policy) == (ranks, policy)
    assert violations(make_problem(prepared.graph, ranks), made) == []


@pytest.mark.slow
def test_the_exact_policy_beside_a_framework(family_file):
    """A rank prepares the job, imports Horovod, and then plans: OR-Tools, imported last, would crash the process."""
    order = (
        "import sys; from hpcmtl.pipeline.prepare import plan, prepare\n"
        "prepared = prepare(sys.argv[1], 2, 'exact')\n"
        "from hpcmtl.training.frameworks import open_framework\n"
        "open_framework('gluon'); import horovod.mxnet\n"
        "print(plan(prepared).policy)"
    )
    done = run_python(family_file.parent, "-c", order, str(family_file))

    assert (done.returncode, done.stdout.split()[-1:]) == (0, ["exact"]), done.stderr


def test_arrays_of_tasks_are_known(family_file):
    """Arrays that tasks will publish are described before any of them has run."""
    arrays = prepare(family_file).arrays

    assert arrays["features/values"].shape == (24,)
    assert arrays["features/values"].samples == arrays["digits/images"].samples == 1797
    assert arrays["outputs/digit"].shape == (10,)


def test_problems_of_a_job_in_code(monkeypatch, tmp_path):
    """Where there is no file the place of a problem is the key, and all problems are there."""
    monkeypatch.chdir(tmp_path)
    job = Job(job="a", policy="best", data={"d": "no.h5"}, tasks={"t": Task("python", callable="m:f", ranks=2)})
    with pytest.raises(InputError) as refused:
        prepare(job)
    places = [problem.where for problem in refused.value.problems]

    assert sorted(places) == ["job: data.d", "job: policy", "job: tasks.t.ranks"]


@pytest.mark.slow
def test_the_exact_policy_in_a_program_that_has_imported_horovod(family_file):
    """A program's own import of Horovod leaves its symbols to all: OR-Tools, imported later, takes its own."""
    order = (
        "import sys; from hpcmtl.training.gluon.compat import import_mxnet; import_mxnet(); import horovod.mxnet\n"
        "from hpcmtl.pipeline.prepare import plan, prepare\n"
        "print(plan(prepare(sys.argv[1], 2, 'exact')).policy)\n"
    )
    done = run_python(family_file.parent, "-c", order, family_file.name)

    assert (done.returncode, done.stdout.split()[-1:]) == (0, ["exact"]), done.stderr

"""A job may ask of a framework only what its description has, and tasks of different frameworks share no parameters."""

import copy

import pytest

from hpcmtl.errors import InputError
from hpcmtl.frameworks import registry
from hpcmtl.frameworks.description import FrameworkDescription
from hpcmtl.jobfile.frameworks import framework_of, tasks_by_framework
from hpcmtl.jobfile.load import UnsoundJobError, parse_job

SMALL = FrameworkDescription(
    name="small",
    title="Small",
    factory="small:make",
    losses=("l2",),
    optimizers=("sgd", "adam"),
    engines=("slow", "local"),
    models=("mlp",),
)
TRAIN = {
    "kind": "train",
    "model": {"name": "mlp", "outputs": 1},
    "input": "data/x",
    "target": "data/y",
    "loss": "l2",
    "epochs": 1,
}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """A framework beside the built-in one, as if a package had registered it."""
    known = registry.describe
    for module in ("hpcmtl.jobfile.frameworks", "hpcmtl.training.kinds.trained"):
        monkeypatch.setattr(f"{module}.describe", lambda name: SMALL if name == "small" else known(name))


def job(**tasks):
    """The values of a job."""
    return {"hpcmtl": 1, "job": "frameworks", "data": {"data": "data.h5"}, "tasks": copy.deepcopy(tasks)}


def problems(raw):
    """Place and message of each problem of a job."""
    with pytest.raises(InputError) as raised:
        parse_job(raw)
    return {problem.where.removeprefix("job: "): problem.message for problem in raised.value.problems}


def test_each_task_has_the_framework_of_its_network():
    """A task that runs a network uses that of the task that trained it; a python task uses none."""
    tasks = {
        "a": TRAIN,
        "b": {**TRAIN, "framework": "small"},
        "of_b": {"kind": "predict", "needs": {"b": "parameters"}},
        "call": {"kind": "python", "callable": "math:sqrt"},
    }
    parsed = parse_job(job(**tasks))

    assert [framework_of(parsed, name) for name in parsed.tasks] == ["gluon", "small", "small", None]
    assert tasks_by_framework(parsed) == {"gluon": ("a",), "small": ("b", "of_b")}


def test_the_default_engine_is_the_frameworks_own():
    """Where neither the task nor the defaults name an engine it is the first one of the framework."""
    parsed = parse_job(job(a=TRAIN, b={**TRAIN, "framework": "small"}))

    assert [parsed.tasks[name].engine for name in "ab"] == ["horovod", "slow"]


def test_names_that_the_framework_lacks_are_refused():
    """Loss, optimizer, engine, compression and model are compared with the framework of the task."""
    task = {
        **TRAIN,
        "framework": "small",
        "loss": "l1",
        "optimizer": {"name": "nag", "learning_rate": 1},
        "engine": "horovod",
        "compression": "fp16",
        "model": {"name": "convnet", "channels": [1], "outputs": 1},
    }
    found = {path: text.replace("package.module:attribute, ", "") for path, text in problems(job(a=task)).items()}

    assert found == {
        "tasks.a.loss": "framework small has no loss 'l1'; did you mean 'l2'?",
        "tasks.a.optimizer.name": "framework small has no optimizer 'nag'; valid here: adam, sgd",
        "tasks.a.engine": "framework small has no engine 'horovod'; valid here: local, slow",
        "tasks.a.compression": "framework small has no compression 'fp16'; valid here: none",
        "tasks.a.model.name": "framework small has no model 'convnet'; valid here: mlp, package.module:attribute",
    }


def test_an_unknown_framework_is_named_once():
    """That of the defaults where it is written, and not for each task; that of a task at the task."""
    default = job(a=TRAIN, b=TRAIN, c={**TRAIN, "framework": "gluonn"})
    default["defaults"] = {"framework": "smalll"}
    found = problems(default)

    assert set(found) == {"defaults.framework", "tasks.c.framework"}
    assert "did you mean 'gluon'" in found["tasks.c.framework"]


def test_tasks_of_an_unknown_default_are_not_checked_further():
    """They are left out where a check would ask a framework that is not there; other tasks are checked."""
    default = job(a=TRAIN, b={**TRAIN, "framework": "gluon"})
    default["defaults"] = {"framework": "pytorch"}
    with pytest.raises(UnsoundJobError) as refused:
        parse_job(default)

    assert "unknown framework 'pytorch'; did you mean 'torch'?" in str(refused.value)
    assert set(refused.value.sound.job.tasks) == {"b"}


def test_parameters_stay_in_their_framework():
    """An edge that would hand parameters to a task of another framework is refused, and so is such a merge."""
    tasks = {"a": TRAIN, "b": {**TRAIN, "framework": "small", "needs": {"a": "parameters"}}, "c": TRAIN}
    found = problems(job(**tasks))
    merged = problems({**job(b={**TRAIN, "framework": "small"}, c=TRAIN), "merge": {"m": {"tasks": ["b", "c"]}}})

    assert "a has framework gluon, b has small" in found["tasks.b.needs.a"]
    assert merged == {"merge.m.tasks": "members of a merge have one framework; found b (small), c (gluon)"}


def test_parameters_of_models_of_the_zoo_travel():
    """Between Gluon and PyTorch they have the same names; a network of the user's is named in the refusal."""
    own = {**TRAIN, "model": {"name": "mine:Net"}}
    taken = {"framework": "torch", "needs": {"a": "parameters"}}

    parse_job(job(a=TRAIN, b={**TRAIN, **taken}))  # is sound

    assert "mine:Net is no model of the zoo" in problems(job(a=own, b={**TRAIN, **taken}))["tasks.b.needs.a"]
    assert "mine:Net is no model of the zoo" in problems(job(a=TRAIN, b={**own, **taken}))["tasks.b.needs.a"]


def test_a_wrong_engine_of_the_defaults_is_named_once():
    """It is reported where it is written, and not for each task that takes it; so are optimizer and compression."""
    wrong = job(a=TRAIN, b=TRAIN, c={**TRAIN, "engine": "locale"})
    wrong["defaults"] = {
        "engine": "horovd",
        "compression": "fp15",
        "optimizer": {"name": "adm", "learning_rate": 0.1},
    }
    found = problems(wrong)

    assert set(found) == {"defaults.engine", "defaults.compression", "defaults.optimizer.name", "tasks.c.engine"}
    assert "did you mean 'horovod'" in found["defaults.engine"]


def test_a_missing_edge_says_what_to_add():
    """A task that is there is to be added to `needs`; a name that is not there may mean another."""
    tasks = {"first": TRAIN, "b": {**TRAIN, "initialise": {"first": "*"}}, "c": {**TRAIN, "initialise": {"frist": "*"}}}
    found = problems(job(**tasks))

    assert found["tasks.b.initialise.first"].endswith("with kind parameters: add `first: parameters` there")
    assert found["tasks.c.initialise.frist"].endswith("; did you mean 'first'?")

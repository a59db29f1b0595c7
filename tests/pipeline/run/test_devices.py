"""GPUs that ranks have, made up, against those that the tasks of a job ask for."""

from types import SimpleNamespace

import numpy as np
import pytest

from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.data.hdf5 import write_dataset_file
from hpcmtl.errors import InputError
from hpcmtl.jobfile.load import parse_job
from hpcmtl.launch.resources.cgroups import Limits
from hpcmtl.launch.resources.facts import RankFacts
from hpcmtl.launch.resources.gpus import Gpu
from hpcmtl.launch.resources.world import WorldFacts
from hpcmtl.pipeline.prepare import prepare
from hpcmtl.pipeline.run import devices as module
from hpcmtl.pipeline.run.devices import with_usable_gpus

GIB = 1 << 30
A100 = Gpu(name="A100", memory=40 * GIB, uuid="GPU-a")
A30 = Gpu(name="A30", memory=24 * GIB, uuid="GPU-b")
NET = {
    "kind": "train",
    "input": "d/x",
    "target": "d/y",
    "model": {"name": "mlp", "widths": [3], "outputs": 2},
    "loss": "softmax_ce",
    "epochs": 1,
}
NO_CUDA = "it was built without CUDA"


@pytest.fixture
def prepared_with(tmp_path):
    """A function that prepares a job of training tasks with some keys each."""
    write_dataset_file(tmp_path / "d.h5", {"x": np.ones((9, 4), np.float32), "y": np.arange(9) % 2}, np.arange(9) % 3)

    def prepared(defaults=None, **tasks):
        named = {name: {**NET, **keys} for name, keys in tasks.items()}
        data = {"d": str(tmp_path / "d.h5")}
        return prepare(parse_job({"hpcmtl": 1, "job": "g", "data": data, "defaults": defaults or {}, "tasks": named}))

    return prepared


def facts_of(*gpus):
    """Ranks of one node, each with GPUs of its own."""
    ranks = tuple(
        RankFacts(
            host="node7",
            cores=(0,),
            limits=Limits(),
            memory_total=GIB,
            memory_available=GIB,
            load=0.0,
            gpus=each,
            scratch="",
            scratch_free=GIB,
            runs_free=GIB,
        )
        for each in gpus
    )
    return WorldFacts(ranks, (1.0,) * len(ranks), 1.0, 8e10)


@pytest.fixture
def problems(monkeypatch):
    """Reasons for which frameworks cannot compute on a GPU, by name; they can where there is none."""
    reasons = {}

    def opened(name):
        return SimpleNamespace(gpu_problem=lambda _number: reasons.get(name))

    monkeypatch.setattr(module, "open_framework", opened)
    return reasons


def checked(prepared, facts):
    """The facts after the check, the same on all ranks."""
    found = run_ranks(len(facts.ranks), lambda world: with_usable_gpus(world, prepared, facts))

    assert all(each == found[0] for each in found)
    return found[0]


def refusals(prepared, facts):
    """Places and messages of a refusal, on all ranks alike."""

    def check(world):
        with pytest.raises(InputError) as raised:
            with_usable_gpus(world, prepared, facts)
        return [(problem.where, problem.message) for problem in raised.value.problems]

    found = run_ranks(len(facts.ranks), check)

    assert all(each == found[0] for each in found)
    return found[0]


def test_a_gpu_is_asked_for_and_absent(prepared_with, problems):
    """Each task that asks for one is named, with what was found and what to write; others are not."""
    prepared = prepared_with(a={"device": "gpu"}, b={"ranks": {"gpu_memory": "8GiB"}}, c={"device": "cpu"}, e={})
    found = refusals(prepared, facts_of((), ()))

    assert [where for where, _ in found] == ["job: tasks.a.device", "job: tasks.b.ranks.gpu_memory"]
    assert "none of the 2 ranks (on node7) has one that it may use" in found[0][1]
    assert "write `device: auto` or `cpu`" in found[0][1]


def test_gpus_by_default(prepared_with, problems):
    """Where all tasks ask by `defaults`, the problem is named there, once."""
    found = refusals(prepared_with({"device": "gpu"}, a={}, b={}), facts_of(()))

    assert [where for where, _ in found] == ["job: defaults.device"]


def test_a_framework_without_cuda(prepared_with, problems):
    """A GPU that the task's framework cannot use does not count, and its reason is told."""
    problems["gluon"] = NO_CUDA
    found = refusals(prepared_with(a={"device": "gpu"}), facts_of((), (A100,)))

    assert f"none can be used: rank 1 on node7 has A100, but {NO_CUDA}" in found[0][1]


def test_nothing_is_asked_for(prepared_with, problems, caplog):
    """Without a GPU nothing is said; with one that a framework cannot use, tasks go on on CPUs, and this is said."""
    prepared = prepared_with(a={})
    without = checked(prepared, facts_of((), ()))
    problems["gluon"] = NO_CUDA
    with_one = checked(prepared, facts_of((), (A100,)))

    assert without.fit == {}
    assert [without.devices(rank).mixed for rank in (0, 1)] == [False, False]
    assert with_one.devices(1).gpu_for("gluon") is None
    assert with_one.devices(1).gpu.kind == "gpu"
    assert f"gluon does not use the GPUs of 1 ranks: rank 1: {NO_CUDA}" in caplog.text


def test_no_gpu_is_opened_for_tasks_on_cpus(prepared_with, monkeypatch):
    """Where all tasks of a framework compute on CPUs, it is not asked about GPUs, whose memory it would hold."""
    monkeypatch.setattr(module, "open_framework", None)
    found = checked(prepared_with({"device": "cpu"}, a={}), facts_of((A100,), (A30,)))

    assert found.fit == {}


def test_a_rank_whose_gpu_is_broken(prepared_with, monkeypatch):
    """Where the framework can use the GPUs of other ranks, the planner leaves this one out."""
    broken = {0: "a first computation fails"}
    monkeypatch.setattr(module, "open_framework", lambda _name: SimpleNamespace(gpu_problem=broken.get))
    found = checked(prepared_with(a={"device": "gpu"}), facts_of((A100, A30), (A100, A30)))

    assert found.fit == {"gluon": {1}}
    assert found.devices(1).mixed
    assert found.rank_gpu_memory == (0, 40 * GIB)

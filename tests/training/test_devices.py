"""The device of a task: the GPUs of its group, or its CPUs, never both."""

import pytest

from hpcmtl.communicators.inproc import RankFailedError, run_ranks
from hpcmtl.frameworks.device import Device, RankDevices
from hpcmtl.jobfile.load import parse_job
from hpcmtl.training.devices import choose_device

NET = {
    "kind": "train",
    "input": "d/x",
    "target": "d/y",
    "model": {"name": "mlp", "widths": [3], "outputs": 2},
    "loss": "softmax_ce",
    "epochs": 1,
}
GPU = Device(kind="gpu", index=1, threads=2)
CPU = Device(threads=4)


def chosen(ranks, task="a", **keys):
    """Devices that ranks choose for a task, which have a GPU or none; `keys` are further keys of tasks."""
    tasks = {
        "a": NET,
        "b": {"kind": "predict", "needs": {"a": "parameters"}},
        "c": {"kind": "python", "callable": "m:f"},
    }
    tasks = {name: {**each, **keys.get(name, {})} for name, each in tasks.items()}
    job = parse_job({"hpcmtl": 1, "job": "g", "data": {"d": "d.h5"}, "tasks": tasks})

    def choose(group):
        gpu, mixed = GPU if ranks[group.rank] else None, len(set(ranks)) > 1
        devices = RankDevices(cpu=CPU, gpu=gpu, mixed=mixed, fit=frozenset({"gluon"}))
        return choose_device(job, task, devices, group)

    return run_ranks(len(ranks), choose)


@pytest.mark.parametrize("task", ["a", "b"])
@pytest.mark.parametrize(
    ("ranks", "device", "found"),
    [
        ((True, True), None, GPU),
        ((True, False), None, CPU),
        ((False, False), "auto", CPU),
        ((True, True), "cpu", CPU),
        ((True,), "gpu", GPU),
    ],
)
def test_all_ranks_of_a_group_compute_alike(task, ranks, device, found):
    """`auto` takes GPUs if every rank has one; trained and applied tasks go by the same rule."""
    keys = {} if device is None else {"device": device}

    assert chosen(ranks, task=task, **{task: keys}) == [found] * len(ranks)


def test_a_framework_that_cannot_use_it():
    """Its tasks compute on the CPU beside a GPU, as do tasks without a network."""
    assert chosen((True,), a={"framework": "torch"}) == [CPU]
    assert chosen((True,), task="c") == [CPU]


def test_a_group_without_a_gpu_for_each_rank():
    """All ranks fail alike, so that the task fails and not the run; the message names the rank."""
    with pytest.raises(RankFailedError, match="TaskFailedError: task a asks for GPUs.*rank 1 of its group has none"):
        chosen((True, False), a={"device": "gpu"})

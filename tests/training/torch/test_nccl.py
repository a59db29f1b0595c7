"""The collective of torch.distributed, run by Gloo on tensors of the CPU: NCCL takes the same way on GPUs."""

import socket
from pathlib import Path

import numpy as np
import pytest
import replica_suite
from collective_suite import assert_same_bits

from hpcmtl.communicators.inproc import RankFailedError, run_ranks
from hpcmtl.frameworks.device import HOST, Device
from hpcmtl.training.collectives.base import CollectiveFactory
from hpcmtl.training.collectives.select import choose_collective
from hpcmtl.training.frameworks import open_framework

torch = pytest.importorskip("torch")
nccl = pytest.importorskip("hpcmtl.training.torch.collectives.nccl")
rendezvous = pytest.importorskip("hpcmtl.training.torch.collectives.rendezvous")

SHAPES = [(3, 4), (1,), (2, 3, 3), (0,), (1000,)]
GPU = Device(kind="gpu")


def values_of(rank, dtype, seed=5):
    """Arrays of one rank."""
    generator = np.random.default_rng((seed, rank))
    return [generator.normal(size=shape).astype(dtype) for shape in SHAPES]


def tensors_of(arrays, *, in_one_buffer):
    """Tensors with the values of arrays, each by itself or as pieces of one buffer."""
    if not in_one_buffer:
        return [torch.tensor(array) for array in arrays]
    buffer = torch.cat([torch.zeros(2, dtype=torch.float32), *[torch.tensor(array).reshape(-1) for array in arrays]])
    pieces = buffer[2:].split([array.size for array in arrays])
    return [piece.view(array.shape) for piece, array in zip(pieces, arrays, strict=True)]


@pytest.mark.parametrize("in_one_buffer", [True, False])
@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_mean_and_broadcast(ranks, in_one_buffer):
    """Tensors hold their mean, then those of the first rank, bit-equal on all; so again on a second group."""

    def check(world):
        for seed in (1, 2):
            group = world.dup()
            collective = nccl.ProcessGroupCollective(group, "gloo")
            means = tensors_of(values_of(world.rank, np.float32, seed), in_one_buffer=in_one_buffer)
            firsts = tensors_of(values_of(world.rank, np.float32, seed), in_one_buffer=in_one_buffer)
            collective.mean(means)
            collective.broadcast(firsts)
            collective.close()
            every = [values_of(rank, np.float32, seed) for rank in range(ranks)]
            for mean, arrays in zip(means, zip(*every, strict=True), strict=True):
                np.testing.assert_allclose(mean.numpy(), np.mean(arrays, axis=0), atol=1e-6)
            for first, array in zip(firsts, every[0], strict=True):
                assert np.array_equal(first.numpy(), array)
            assert_same_bits(world, {str(at): mean.numpy() for at, mean in enumerate(means)})

    run_ranks(ranks, check)


def test_other_dtypes_and_parameters():
    """Halves near the largest there is do not overflow, and counters and parameters are broadcast as they are."""

    def check(world):
        collective = nccl.ProcessGroupCollective(world, "gloo")
        halves = [torch.full((4,), 60000.0, dtype=torch.float16), torch.full((2,), float(world.rank))]
        counter, parameter = torch.tensor(world.rank + 7), torch.nn.Parameter(torch.full((3,), float(world.rank)))
        collective.mean(halves)
        collective.broadcast([counter, parameter])
        collective.close()

        assert halves[0].tolist() == [60000.0] * 4
        assert halves[1].tolist() == [0.5, 0.5]
        assert counter == 7
        assert parameter.tolist() == [0.0] * 3

    run_ranks(2, check)


@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("check", replica_suite.ALLREDUCE_CHECKS, ids=lambda check: check.__name__)
def test_training(check, ranks):
    """Ranks train with it as one rank does on the concatenated batches, in float32 and by halves."""

    class WithGloo(type(open_framework("torch"))):
        def collectives(self):
            return {"gloo": CollectiveFactory(open=lambda group: nccl.ProcessGroupCollective(group, "gloo"))}

    run_ranks(ranks, check, replica_suite.Setup(WithGloo(), "gloo", models=(replica_suite.MLP,)))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu():
    """Engine `nccl` gives way to `mpi` with a reason, and `nccl!` is refused; the reason of the build comes first."""
    factories = open_framework("torch").collectives()

    def choose(group):
        return choose_collective("nccl", group, factories, HOST)

    found = run_ranks(2, choose)

    assert {choice.name for choice in found} == {"mpi"}
    assert "nccl cannot be used: " in found[0].reason
    with pytest.raises(RankFailedError, match="engine `nccl!` refuses to fall back"):
        run_ranks(2, lambda group: choose_collective("nccl!", group, factories, HOST))


def test_ranks_on_one_gpu():
    """NCCL would fail late: two ranks of one GPU are named, and tasks on CPUs refused; each with its own may go on."""
    shared = run_ranks(3, lambda group: nccl.shared_gpu(group, "GPU-a" if group.rank else "GPU-b"))
    own = run_ranks(3, lambda group: nccl.shared_gpu(group, f"GPU-{group.rank}"))

    assert shared == ["ranks 1 and 2 of the group compute on one GPU, which NCCL refuses"] * 3
    assert own == [None] * 3
    assert "computes on CPUs" in run_ranks(1, lambda group: nccl.nccl_misfit(group, HOST))[0]


def test_a_collective_that_does_not_fit_the_devices():
    """The reason comes from all ranks of the group; where devices are not known yet, it is not asked for."""
    factories = {"one": CollectiveFactory(open=lambda _group: None, misfit=lambda _group, device: device.kind)}

    def choose(group):
        return [choose_collective("one", group, factories, device).reason for device in (None, HOST, GPU)]

    found = run_ranks(2, choose)[1]

    assert found == ["asked for", "one cannot be used: cpu", "one cannot be used: gpu"]


def test_the_store_listens_on_the_loopback_address_alone(monkeypatch):
    """Ranks of one host meet there, and no other host reaches their store."""
    made = []
    create = socket.create_server
    monkeypatch.setattr(socket, "create_server", lambda address: made.append(address) or create(address))

    def check(world):
        store, address = rendezvous.open_store(world)
        store.set(str(world.rank), "here")
        found = store.get(str((world.rank + 1) % 2))
        world.barrier()  # the store ends with its first rank

        return address, found

    assert run_ranks(2, check) == [("127.0.0.1", b"here")] * 2
    assert made == [("127.0.0.1", 0)]


def test_the_address_for_other_hosts():
    """It is that of the interface to another host."""
    assert rendezvous.own_address("a", ["a", "a"]) == "127.0.0.1"
    assert rendezvous.own_address("a", ["a", "127.0.0.1"]) == "127.0.0.1"


@pytest.mark.mpi
@pytest.mark.slow
def test_processes(mpirun, tmp_path):
    """Processes under mpirun meet as threads do."""
    program = tmp_path / "means.py"
    program.write_text(
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[3])!r})\n"
        "from hpcmtl.communicators.mpi import world as mpi_world\n"
        "world = mpi_world()\n"
        "import torch\n"
        "from hpcmtl.training.torch.collectives.nccl import ProcessGroupCollective\n"
        "for _ in range(3):\n"
        "    group = world.dup()\n"
        "    collective = ProcessGroupCollective(group, 'gloo')\n"
        "    tensor = torch.full((100_000,), float(world.rank))\n"
        "    collective.mean([tensor])\n"
        "    assert (tensor == 1).all()\n"
        "    collective.close()\n"
        "print('fine')\n"
    )
    done = mpirun(3, program, timeout=100)

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("fine") == 3

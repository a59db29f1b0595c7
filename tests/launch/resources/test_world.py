"""Conclusions from the facts and paces of all ranks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.errors import EnvironmentUnfitError
from hpcmtl.launch.resources.cgroups import Limits
from hpcmtl.launch.resources.facts import RankFacts
from hpcmtl.launch.resources.gpus import Gpu
from hpcmtl.launch.resources.pace import WINDOWS, Pace, measure
from hpcmtl.launch.resources.world import WorldFacts, efficiency_of, format_ranges, given_speeds, speeds_of

GIB = 1 << 30


A100 = Gpu(name="A100", memory=40 * GIB, uuid="GPU-a")
T4 = Gpu(name="T4", memory=16 * GIB, uuid="GPU-t")


def facts(host="a", cores=(0, 1), limits=Limits(), gpus=(), local_rank=None):  # noqa: B008 - it is frozen
    """A rank on a node of 8 GiB."""
    return RankFacts(
        host=host,
        cores=cores,
        limits=limits,
        memory_total=8 * GIB,
        memory_available=4 * GIB,
        load=0.5,
        gpus=gpus,
        local_rank=local_rank,
        scratch="/tmp",  # noqa: S108 - nothing is written
        scratch_free=GIB,
        runs_free=GIB,
    )


def pace(*wall, core=1000.0):
    """A pace of these windows."""
    return Pace(wall, (core,) * len(wall), 8e10)


def test_each_rank_has_a_device():
    """It is the CPU, with the rank's share of its node's cores; a quota of less than one core is one thread."""
    ranks = (facts("a", range(8)), facts("a", range(8)), facts("b", range(8), Limits(0.5, None)), facts("c", range(3)))
    devices = [WorldFacts(ranks, (1,) * 4, 1.0, 8e10).devices(rank).cpu for rank in range(4)]

    assert [device.threads for device in devices] == [4, 4, 1, 3]
    assert {(device.kind, device.index) for device in devices} == {("cpu", 0)}


def world(*ranks, **more):
    """Ranks of equal speed."""
    return WorldFacts(ranks, (1.0,) * len(ranks), 1.0, 8e10, **more)


def test_ranks_take_the_gpus_of_their_node_in_turn():
    """By local rank: of three ranks that see two GPUs the third shares the first one, and has half of its memory."""
    both = (A100, T4)
    found = world(*(facts(gpus=both, local_rank=rank) for rank in (2, 1, 0)), facts("b"))

    assert found.gpu_numbers == (0, 1, 0, None)
    assert found.gpu_sharers == (2, 1, 2, 0)
    assert found.rank_gpu_memory == (20 * GIB, 16 * GIB, 20 * GIB, 0)
    assert found.machine.rank_gpu_memory == found.rank_gpu_memory
    assert (
        "GPUs: A100 of 40 GiB and T4 of 16 GiB, 1 of 4 ranks without one, up to 2 ranks on one GPU" in found.summary()
    )


def test_a_rank_with_a_gpu_of_its_own_takes_it():
    """Slurm's `--gpus-per-task` gives each rank other GPUs, of which the number 0 is the first of its own."""
    found = world(facts(gpus=(A100,)), facts(gpus=(T4,)))

    assert found.gpu_numbers == (0, 0)
    assert found.gpu_sharers == (1, 1)
    assert found.gpus == (A100, T4)


def test_devices_of_a_rank():
    """A rank knows its GPU, the frameworks that can use it, and whether other ranks have what it has not."""
    both = facts(gpus=(A100, T4))
    mixed = world(facts(gpus=(A100,)), facts(), fit={"torch": frozenset({0})})
    even = world(both, both, fit={"torch": frozenset({0, 1}), "gluon": frozenset()})
    unequal = world(both, both, fit={"gluon": frozenset({1})})

    assert (mixed.devices(0).gpu.kind, mixed.devices(0).gpu.index) == ("gpu", 0)
    assert mixed.devices(1).gpu is None
    assert mixed.devices(0).mixed
    assert not even.devices(1).mixed
    assert even.devices(1).gpu_for("torch").index == 1
    assert even.devices(1).gpu_for("gluon") is None
    assert unequal.devices(0).gpu_for("gluon") is None
    assert unequal.devices(1).gpu_for("gluon").index == 1
    assert unequal.devices(1).gpu_for("never asked") is None
    assert unequal.devices(1).mixed


def test_gpus_in_the_record_of_a_run():
    """Each rank lists the GPUs that it may use, and the number of the one that it takes."""
    record = world(facts(gpus=(A100, T4)), facts(gpus=(A100, T4))).to_dict()["ranks"][1]

    assert record["gpu"] == 1
    assert record["gpus"][1] == {"name": "T4", "memory": 16 * GIB, "uuid": "GPU-t", "driver": ""}


def test_ranks_whose_gpus_do_not_count():
    """A rank whose GPU no framework can use is planned as one without."""
    found = world(facts(gpus=(A100, T4)), facts(gpus=(A100, T4))).without_gpus({0})

    assert found.gpu_numbers == (None, 0)
    assert found.rank_gpu_memory == (0, 40 * GIB)


def test_nodes_cores_and_memory():
    """Ranks share the memory of their node, and the node with the fewest cores counts."""
    ranks = (facts("a"), facts("a", (2, 3)), facts("b", limits=Limits(1.5, 2 * GIB)), facts("b"))
    world = WorldFacts(ranks, (1, 1, 1, 0.5), 0.75, 8e10)

    assert world.node == (0, 0, 1, 1)
    assert world.ranks_per_node == 2
    assert world.cores_per_node == 1
    assert world.rank_memory == (4 * GIB, 4 * GIB, GIB, 4 * GIB)
    assert world.summary() == (
        "4 ranks on 2 nodes of 1 cores, 1.0 GiB a rank; each runs at 75% when all do, 80 Gflop/s in a matrix product; "
        "speeds measured: rank 3 0.50"
    )
    assert [rank["node"] for rank in world.to_dict()["ranks"]] == [0, 0, 1, 1]
    assert [rank["cores"] for rank in world.to_dict()["ranks"]] == ["0-1", "2-3", "0-1", "0-1"]


@pytest.mark.parametrize(
    ("numbers", "text"), [((), ""), ((3,), "3"), ((0, 1, 2, 3, 8), "0-3,8"), ((0, 2, 4, 5), "0,2,4-5")]
)
def test_format_ranges(numbers, text):
    """Hundreds of cores are a few words."""
    assert format_ranges(numbers) == text


def test_a_slow_rank_is_seen_through_noise():
    """A rank that is slow in every window is slow; one that was slow in two of three is not."""
    ranks = [facts(cores=(0, 1, 2, 3))] * 4
    busy = [pace(100, 98, 97), pace(50, 49, 51), pace(30, 40, 99), pace(101, 60, 60)]

    assert speeds_of(ranks, busy) == pytest.approx((1.0, 0.51, 0.99, 1.01))


def test_of_two_ranks_the_slow_one_is_slow():
    """The fast one is the ordinary one."""
    assert speeds_of([facts()] * 2, [pace(50), pace(100)]) == (0.5, 1.0)


def test_turns_on_shared_cores_are_no_speeds():
    """Where ranks take turns on cores, the time that each got by luck does not count, the speed of the core does."""
    busy = [pace(25), pace(75), pace(50), pace(30, core=500.0)]

    assert speeds_of([facts()] * 4, busy) == (1.0, 1.0, 1.0, 0.5)


def test_efficiency():
    """Two ranks a core get half of it each; ranks with cores of their own lose nothing; the median node counts."""
    ranks = [facts("a")] * 4 + [facts("b")] * 2 + [facts("c")]
    busy = [pace(25), pace(75), pace(50), pace(50)] + [pace(80)] * 2 + [pace(130)]

    assert efficiency_of(ranks[:4], busy, {0: pace(100)}) == 0.5
    assert efficiency_of(ranks, busy, {0: pace(100), 4: pace(100), 6: pace(100)}) == 0.8
    assert efficiency_of(ranks[6:], [pace(130)], {0: pace(100)}) == 1.0


def test_efficiency_of_a_bad_moment():
    """Ranks that got hardly anything, or more than there is, as somebody else computed, are not taken at their word."""
    assert efficiency_of([facts()] * 4, [pace(5)] * 4, {0: pace(100)}) == pytest.approx(0.3)
    assert efficiency_of([facts()] * 4, [pace(90)] * 4, {0: pace(100)}) == 0.5


@given(st.lists(st.floats(1, 1e6), min_size=1, max_size=40))
def test_some_rank_is_ordinary(rates):
    """Whatever was measured, speeds are above 0 and that of the median is 1."""
    speeds = speeds_of([facts(cores=tuple(range(64)))] * len(rates), [pace(rate) for rate in rates])

    assert 1.0 in speeds
    assert min(speeds) > 0


@pytest.mark.parametrize(
    ("text", "speeds"), [("", None), ("3:0.5", (1, 1, 1, 0.5)), ("0-1:2,3:.25", (2, 2, 1, 0.25)), ("1:1", (1, 1, 1, 1))]
)
def test_speeds_are_given(text, speeds):
    """The user names ranks, or blocks of them; the others are ordinary."""
    assert given_speeds(4, {"HPCMTL_RANK_SPEED": text}) == speeds


@pytest.mark.parametrize("text", ["3", "4:0.5", "3:0", "3:-1", "2-1:1", "a:1", "1:fast", "1:inf", "1:nan", ","])
def test_speeds_that_make_no_sense_are_refused(text):
    """The message names the variable and what to write."""
    with pytest.raises(EnvironmentUnfitError, match=r"HPCMTL_RANK_SPEED.*write 3:0\.5"):
        given_speeds(4, {"HPCMTL_RANK_SPEED": text})


def test_the_pace_of_this_machine():
    """A measurement has so many windows, each with rounds in it, more a second of the core's time than of the clock."""
    found = measure()

    assert len(found.wall) == len(found.core) == WINDOWS
    assert min(found.wall) > 0
    assert all(wall <= core * 1.05 for wall, core in zip(found.wall, found.core, strict=True))

"""Two sessions at once on ranks that are threads: the bound is kept, and who would wait for a paused task stops."""

from __future__ import annotations

import itertools
import threading
from functools import partial
from itertools import pairwise

import numpy as np
import pytest

from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.exchange.parameter_client import ParameterClient, ParameterServerThread
from hpcmtl.exchange.parameter_server import ParameterServer
from hpcmtl.exchange.store import DamagedArtifactError, read_sealed
from hpcmtl.training.coupling.coupling import FINAL
from hpcmtl.training.coupling.merging import combine
from hpcmtl.training.session import open_session
from hpcmtl.training.task_steps import Steps, SyncPoint

pytestmark = pytest.mark.timeout(300)

EVERY = 2


def tasks(task, **changes):
    """A task, and one that freezes what it takes from it while it runs: twenty steps each."""
    edge = {"kind": "parameters", "mode": "async", "every": EVERY, "staleness": 1, **changes}
    return {"first": task(), "second": task(needs={"first": edge}, freeze=["body.*"])}


def side_by_side(bench, on_rank, ranks=2):
    """Call `on_rank(world, client, announce, session_of)` on ranks with a parameter server; return its results."""

    def run(world):
        parameter_client = ParameterClient(requests := world.dup(), replies := world.dup())
        server = ParameterServer({name: each.tasks for name, each in bench.prepared.job.merge.items()}, combine)
        thread = ParameterServerThread(requests, replies, server) if world.rank == 0 else None
        if thread is not None:
            thread.start()

        def session_of(name, members, **state):
            group = world.create_group(members, tag=0)
            return open_session(bench.context(name, group, parameter_client=parameter_client, **state))

        result = on_rank(world, thread and thread.announce, session_of)
        parameter_client.close()
        if thread is not None:
            thread.join()
        return result

    return run_ranks(ranks, run)


def test_the_bound_is_kept(bench, task):
    """A consumer of two ranks whose producer waits for it trains one version ahead and no more, and takes each one."""
    at, taken, moved = bench(tasks(task)), {1: [], 2: []}, threading.Condition()

    def is_far_enough(step):
        """Returns whether both ranks have begun the last step that the versions so far allow; no clock decides."""
        return min(map(len, taken.values())) >= min(step + EVERY + 1, 20)

    def on_rank(world, announce, session_of):
        if world.rank == 0:
            announce(["first", "second"], {})
        world.barrier()
        session = session_of("first", [0]) if world.rank == 0 else session_of("second", [1, 2])
        coupling, replica = session._coupling, session._made.replica
        step, count = replica.step, itertools.count()

        def watched(*arguments):
            with moved:
                if world.rank == 0:
                    assert moved.wait_for(partial(is_far_enough, next(count)), timeout=120)
                else:
                    taken[world.rank].append(coupling.taken["first"])
                    moved.notify_all()
            step(*arguments)

        replica.step = watched
        outcome = session.run_layer(0)
        session.close()
        if world.rank == 0:
            announce(["second"], {"first": "complete"})
        return outcome

    first, second, _ = side_by_side(at, on_rank, ranks=3)

    assert (first.steps, second.steps) == (20, 20)
    assert first.facts["versions_published"] > 5
    assert taken[1] == taken[2] == [max(step // EVERY - 1, 0) for step in range(20)]


@pytest.mark.parametrize("published", [False, True])
def test_a_consumer_gives_up_its_ranks(bench, task, published):
    """With a producer that pauses it stops, before its first step or in the middle, and later goes on to its end."""
    at, done = bench(tasks(task)), threading.Event()

    def on_rank(world, announce, session_of):
        if world.rank == 0 and published:
            announce(["first"], {})
            first = session_of("first", [0])
            first._begun(0)  # which publishes version 0, and no more
        if world.rank == 0:
            announce(["second"], {})
            world.barrier()
            done.wait()
            at.run("first")
            announce(["second"], {"first": "complete"})
            world.barrier()
            return None
        world.barrier()
        outcomes = []
        for _ in range(2):
            session = session_of("second", [1])
            outcomes.append(session.run_layer(0))
            session.close()
            if not done.is_set():
                done.set()
                world.barrier()
        return outcomes

    stopped, ended = side_by_side(at, on_rank)[1]
    trunk, taken = at.parameters("first"), at.parameters("second")
    _, facts = read_sealed(at.checkpoints("second")[-1])

    assert stopped.stopped
    assert not ended.stopped
    assert stopped.steps == (2 * EVERY if published else 0)
    assert stopped.steps + ended.steps == 20
    assert facts["versions"] == {"first": FINAL}
    assert all(np.array_equal(taken[name], trunk[name]) for name in trunk if "body" in name)


def test_damage_names_the_producer(bench, task):
    """A consumer that begins when its producer has completed, and finds a damaged artifact, says whose it is."""
    at = bench(tasks(task))
    at.run("first")
    content = at.artifact("first").read_bytes()
    at.artifact("first").write_bytes(content[: len(content) // 2])

    def on_rank(world, announce, session_of):
        if world.rank == 0:
            announce(["second"], {"first": "complete"})
        world.barrier()
        session = session_of("second", [0, 1])
        with pytest.raises(DamagedArtifactError) as told:
            session.run_layer(0)
        session.close()
        return told.value.producer

    assert side_by_side(at, on_rank) == ["first", "first"]


@pytest.mark.parametrize(
    "how", ["statistics", *(pytest.param(how, marks=pytest.mark.slow) for how in ("mean", "samples"))]
)
def test_members_on_groups_of_their_own(bench, task, how):
    """After the last round both members have the same shared parameters, and each its own others."""
    merge = {"body": {"tasks": ["one", "two"], "parameters": "body.*", "every": EVERY, "how": how}}
    at = bench({"one": task(), "two": task(batch_size=20, epochs=10)}, merge=merge)

    def on_rank(world, announce, session_of):
        if world.rank == 0:
            announce(["one", "two"], {})
        world.barrier()
        session = session_of(*(("one", [0]) if world.rank == 0 else ("two", [1, 2])))
        outcome = session.run_layer(0)
        session.close()
        return outcome.facts["merges"]

    merges = side_by_side(at, on_rank, ranks=3)
    one, two = at.parameters("one"), at.parameters("two")

    assert merges == [10, 10, 10]
    for name in one:
        assert np.array_equal(one[name], two[name]) == ("body" in name)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["samples", "statistics"])
def test_sessions_do_not_change_what_is_merged(bench, task, how):
    """Members that leave and come back between two rounds merge as members that stay."""
    merge = {"body": {"tasks": ["one", "two"], "parameters": "body.*", "every": 4, "how": how}}
    found = []
    for stays in (True, False):
        at = bench({"one": task(), "two": task(batch_size=20, epochs=10)}, merge=merge, layers=3)

        def on_rank(world, announce, session_of, stays=stays):
            name = ("one", "two")[world.rank]
            if world.rank == 0:
                announce(["one", "two"], {})
            world.barrier()
            session = session_of(name, [world.rank])
            for layer in range(3):
                if layer and not stays:
                    session.close()
                    session = session_of(name, [world.rank])
                session.run_layer(layer)
            session.close()

        side_by_side(at, on_rank)
        found.append(at.parameters("one"))

    for name, values in found[0].items():
        np.testing.assert_array_equal(found[1][name], values, err_msg=name)


@pytest.mark.slow
def test_statistics_go_along_to_another_first_rank(bench, task):
    """A member whose group loses its first rank merges with the statistics that the whole group has."""
    merge = {"body": {"tasks": ["one", "two"], "parameters": "body.*", "every": 4, "how": "statistics"}}
    found = []
    for later in ([1], [2]):
        at = bench({"one": task(), "two": task(batch_size=20, epochs=10)}, merge=merge, layers=2)

        def on_rank(world, announce, session_of, later=later):
            if world.rank == 0:
                announce(["one", "two"], {})
            world.barrier()
            states = {}  # each rank keeps its own, as in a job
            for step, two in ((0, [1, 2]), (10, later)):
                if world.rank in (0, *two):
                    task_and_group = ("one", [0]) if world.rank == 0 else ("two", two)
                    session = session_of(*task_and_group, states=states, step=step)
                    session.run_layer(step // 10)
                    session.close()

        side_by_side(at, on_rank, ranks=3)
        found.append(at.parameters("one"))

    for name, values in found[0].items():
        np.testing.assert_allclose(found[1][name], values, rtol=1e-5, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("bounds", [(0, 30), (0, 7, 14, 30)])
def test_samples_are_those_since_the_last_tick(bounds):
    """With epochs of 13 samples in batches of 5, 5 and 3, a round weighs its own samples, wherever layers end."""
    sizes = [5, 5, 3] * 10
    steps = Steps(bounds, [0, 5, 10, 13])

    for every in (1, 4, 30):
        ticks = range(every, 31, every)
        assert [steps.samples_since_tick(every, at) for at in ticks] == [sum(sizes[at - every : at]) for at in ticks]
    layers = list(pairwise(bounds))
    assert [steps.samples_since_tick("layer", stop) for _, stop in layers] == [sum(sizes[a:b]) for a, b in layers]


def test_clocks():
    """A clock ticks at multiples of its steps, or where layers meet, and shows how often it has."""
    steps = [SyncPoint(step, step // 4, between_layers=step % 4 == 0, last=False) for step in range(9)]

    assert [at.clock(3) for at in steps] == [0, None, None, 1, None, None, 2, None, None]
    assert [at.clock("layer") for at in steps] == [0, None, None, None, 1, None, None, None, 2]

"""A rank that dies costs its own group the layer: control threads, workers and dispatcher on ranks that are threads."""

import itertools
import random
import threading
from collections import Counter

import pytest
from simulation import graph_of
from thread_job import Job, Talker, diamond, nothing

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
    pytest.mark.slow,
]


def fields_of(job, event):
    """The facts of all events of a kind."""
    return [fields for name, fields in job.events if name == event]


@pytest.mark.parametrize(("ranks", "dies"), [(2, 1), (3, 2), (4, 1), (4, 3)])
def test_the_layer_begins_again_on_the_ranks_that_are_left(ranks, dies):
    """A rank that dies in the middle of a layer costs this layer alone; the rest of the job runs as ever."""
    dead = threading.Event()

    def run_layer(session, layer):
        if layer == 1 and session.world.rank == dies and not dead.is_set():
            dead.set()
            session.world.die()

    job = Job(graph_of({"a": (3, 1), "after": (2, 1)}, [("a", "after")]), ranks, run_layer, "sequential")
    statuses = job.run()
    layers = [fields["layer"] for fields in fields_of(job, "layer_started") if fields["task"] == "a"]

    assert statuses == {"a": "complete", "after": "complete"}
    assert [(fields["generation"], fields["members"]) for fields in fields_of(job, "world_shrunk")] == [
        (1, tuple(rank for rank in range(ranks) if rank != dies))
    ]
    assert layers == [0, 1, 1, 2]
    assert [fields["layer"] for fields in fields_of(job, "layer_restarted")] == [1]


def test_the_other_group_goes_on_with_what_it_has():
    """A group that lost nobody runs all its layers once, wherever it was put."""
    dead, under_way = threading.Event(), threading.Event()

    def run_layer(session, layer):
        if session.task == "b" and layer == 1:
            session.group.barrier()  # a layer that has not begun everywhere begins again
            under_way.set()
            assert dead.wait(30)
        if session.task == "a" and session.group.rank == 1 and not dead.is_set():
            assert under_way.wait(30)
            dead.set()
            session.world.die()

    job = Job(graph_of({"b": (6, 2), "a": (6, 2)}), 4, run_layer, "waves")
    statuses = job.run()
    runs = [fields for fields in fields_of(job, "layer_started") if fields["task"] == "b"]
    begun = Counter(layer for task, layer, _rank in job.calls if task == "b")

    assert statuses == {"a": "complete", "b": "complete"}
    assert [fields["layer"] for fields in runs] == list(range(6))
    assert begun == dict.fromkeys(range(6), 2)
    assert [fields["task"] for fields in fields_of(job, "layer_restarted")] == ["a"]


@pytest.mark.parametrize("seed", range(30))
def test_any_rank_at_any_moment(seed):
    """Ranks die anywhere, in a layer, while a group is made, or while nothing runs: all ends, and once."""
    chance = random.Random(seed)
    ranks = chance.randint(2, 6)
    left = chance.randint(1, ranks - 1)
    moments = {rank: chance.randint(1, 12) for rank in chance.sample(range(1, ranks), left)}
    counts = {rank: itertools.count() for rank in range(ranks)}

    def come_past(world):
        if moments.get(world.rank) == next(counts[world.rank]):
            world.die()

    class Mortal(Talker):
        def __init__(self, job, task, group, place):
            come_past(place[0])
            super().__init__(job, task, group, place)

        def close(self):
            come_past(self.world)
            with self.job.lock:
                self.job.closed.append((self.task, self.world.rank))

        def rebinder(self):
            return None

    def run_layer(session, layer):
        come_past(session.world)

    policy = ("variable", "sequential")[seed % 2]  # narrow groups, or all ranks for each task
    job = Job(graph_of(*diamond(12, 4)), ranks, run_layer, policy, session=Mortal)
    statuses = job.run()
    ended = [(fields["task"], fields["layer"]) for fields in fields_of(job, "layer_ended")]

    # A loss that was seen before the group was made is not counted against the task, see `LayerRestarted`.
    counted = [each for each in fields_of(job, "layer_restarted") if each["lost"] and not each["not_begun"]]
    losses = Counter((each["task"], each["layer"]) for each in counted)
    twice = {task for (task, _), count in losses.items() if count > 1}

    assert {task for task, status in statuses.items() if status == "failed"} == twice
    assert twice or set(statuses.values()) == {"complete"}
    assert len(ended) == len(set(ended))
    assert twice or len(ended) == 48


def test_a_task_that_ends_its_ranks_fails():
    """A task whose process crashes costs two ranks, and not one after the other; the rest of the family ends well."""

    def run_layer(session, layer):
        if session.task == "bad" and layer == 1 and session.group.rank == session.group.size - 1:
            session.world.die()

    job = Job(graph_of({"bad": (3, 2), "after": (1, 1), "good": (4, 1)}, [("bad", "after")]), 5, run_layer, "waves")
    statuses = job.run()
    (ended,) = [fields for fields in fields_of(job, "task_ended") if fields["task"] == "bad"]
    lost = [
        fields["lost"] for fields in fields_of(job, "layer_restarted") if fields["task"] == "bad" and fields["lost"]
    ]

    assert statuses == {"bad": "failed", "after": "skipped", "good": "complete"}
    assert [len(ranks) for ranks in lost] == [1, 1]
    assert ended["message"].startswith("layer 1 lost ranks 2 times: the task may end its ranks itself")


def test_too_few_ranks_stop_the_run():
    """Where a task needs more ranks than are left, what runs stops with a checkpoint, and the job can be resumed."""

    def run_layer(session, layer):
        if session.world.rank == 2:
            session.world.die()
        return session.channels.stop_requested.is_set()

    job = Job(graph_of({"a": (3, 3)}), 3, run_layer)

    assert job.run() == {"a": None}
    (stopping,) = fields_of(job, "job_stopping")
    assert "needs 3 ranks but there are 2" in stopping["reason"]


def test_the_death_of_rank_0_frees_the_others():
    """The main threads of those that live come out of their layer, and have a smaller world to go on in."""

    def run_layer(session, layer):
        if session.world.rank == 0 and layer == 1:
            session.world.die()

    job = Job(graph_of({"a": (3, 3)}), 3, run_layer)
    job.run()
    survivors_comm = [job.channels[rank].comms.main for rank in (1, 2)]

    assert [bool(job.channels[rank].abandoned) for rank in (1, 2)] == [True, True]
    assert [(world.rank, world.size) for world in survivors_comm] == [(0, 2), (1, 2)]


def test_who_waits_for_another_task_comes_out():
    """Where tasks meet a death in one gives up the attempt on all ranks, rank 0 too, whatever they wait for."""

    def run_layer(session, layer):
        if session.task == "b" and layer == 1:
            session.world.die()
        if session.task == "a" and layer == 1:
            session.channels.comms.parameter_exchange[0].recv()

    job = Job(graph_of({"a": (3, 1), "b": (3, 1)}), 3, run_layer, "waves")
    job.meets = True
    job.run()
    (dead,) = (rank for task, layer, rank in job.calls if (task, layer) == ("b", 1))
    living = [job.channels[rank] for rank in range(3) if rank != dead]

    assert dead != 0
    assert ["exchange parameters" in channels.abandoned for channels in living] == [True, True]
    assert [(channels.comms.main.rank, channels.comms.main.size) for channels in living] == [(0, 2), (1, 2)]


def test_nothing_is_lost_without_a_death():
    """A job without a death has no events of one."""
    job = Job(graph_of({"a": (3, 2)}), 2, nothing)
    job.run()

    assert not fields_of(job, "world_shrunk")

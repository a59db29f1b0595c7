"""Heartbeats of ranks that are threads: who sends to whom, what is known of whom, and nothing is left under way."""

import time
from threading import Event

import pytest

from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.communicators.polling import next_message
from hpcmtl.dispatch.health.heartbeat import HeartbeatSender
from hpcmtl.dispatch.health.heartbeat_messages import Heartbeats
from hpcmtl.dispatch.health.timing import HeartbeatTiming
from hpcmtl.dispatch.membership.world import World
from hpcmtl.dispatch.protocol import LayerDone, ProgressReport, Release, RunLayer
from hpcmtl.results.event_format import to_fields
from hpcmtl.results.heartbeat import Heartbeat
from hpcmtl.results.step_progress import StepProgress

INTERVAL = 0.05


class Ear:
    """A listener that keeps all it is told."""

    def __init__(self):
        self.heartbeats, self.events = [], []

    def record(self, event):
        """See `Listener`."""
        self.events.append((event.name, to_fields(event)))

    def heard(self, heartbeats):
        """See `Listener`."""
        self.heartbeats += heartbeats


class Counted:
    """A communicator that counts the messages to each rank."""

    def __init__(self, comm):
        self._comm, self.sent = comm, {}

    def __getattr__(self, name):
        return getattr(self._comm, name)

    def isend(self, value, dest, tag=0):
        """See `Communicator`."""
        self.sent[dest] = self.sent.get(dest, 0) + 1
        return self._comm.isend(value, dest, tag)


def turn(comm, heartbeat, until):
    """Do what a control thread does, until a condition holds."""
    never, end = Event(), time.monotonic() + 20
    while not until() and time.monotonic() < end:
        message = next_message(comm, never, 0.005)
        if message is not None and isinstance(message.value, Heartbeats):
            heartbeat.take(message.value, message.source)
        heartbeat.turn()


def send_heartbeats(seconds, hosts, asleep=(), first_words=()):
    """Returns ears and messages sent of ranks that send heartbeats for some time; those asleep send the last alone."""

    def run(world):
        ear = Ear() if world.rank == 0 else None
        comm = Counted(world)
        heartbeat = HeartbeatSender(comm, hosts, HeartbeatTiming(interval=INTERVAL), ear)
        for word in first_words if world.rank == 1 else ():
            heartbeat.note(word)
        end = time.monotonic() + seconds
        if world.rank in asleep:
            time.sleep(seconds)
        turn(world, heartbeat, lambda: time.monotonic() > end)
        heartbeat.stop()
        world.barrier()
        return ear, comm.sent, world.iprobe()

    return run_ranks(len(hosts), run)


def test_one_message_a_node():
    """Ranks of a node send to its first, that to rank 0, and rank 0 to its standby monitor; no message is left over."""
    found = send_heartbeats(1.0, ["a", "a", "a", "b", "b", "b"])
    ear = found[0][0]

    assert {each.rank for each in ear.heartbeats} == set(range(6))
    assert [set(sent) for _, sent, _ in found] == [{1}, {0}, {0}, {0}, {3}, {3}]
    assert all(sum(sent.values()) <= 1.0 / INTERVAL + 3 for _, sent, _ in found)
    assert [left for _, _, left in found] == [None] * 6
    assert all(each.rss > 1 << 20 and each.memory_available > 0 for each in ear.heartbeats)


def test_what_a_rank_is_at():
    """A heartbeat has task, layer and step from what passes by, and nothing after the layer's end."""
    words = [
        RunLayer(task="t", layer=2, layers=5, group=(0, 1)),
        ProgressReport(StepProgress("t", 2, 0, None, 1.0, 0.5, 40, 8.0)),
    ]
    (ear, _, _), _ = send_heartbeats(0.3, ["a", "a"], first_words=words)
    done = LayerDone(member=1, task="t", layer=2, group=(0, 1), start_number=1, finished=(1,))
    (after, _, _), _ = send_heartbeats(0.3, ["a", "a"], first_words=[*words, done])
    at = next(each for each in ear.heartbeats if each.rank == 1)

    assert (at.task, at.layer, at.step, at.steps_per_second) == ("t", 2, 40, 8.0)
    assert at.doing == "task t, layer 2, step 40"
    assert {each.doing for each in after.heartbeats} == {"nothing: it waited for work"}


def test_reports_of_others_do_not_end_what_a_rank_is_at():
    """Rank 0 notes the ends of all groups' layers, and still tells of the layer that it runs itself."""

    def run(world):
        ear = Ear()
        heartbeat = HeartbeatSender(world, ["a"], HeartbeatTiming(interval=0.0), ear)
        heartbeat.note(RunLayer(task="t", layer=2, layers=5, group=(0,)))
        for member in 1, 0:
            heartbeat.note(LayerDone(member=member, task="t", layer=2, group=(0,), start_number=1, finished=(member,)))
            heartbeat.note(Release("u"))
            heartbeat.turn()
        return [each.task for each in ear.heartbeats]

    assert run_ranks(1, run) == [["t", ""]]


def test_a_rank_that_sleeps_is_suspect_and_comes_back():
    """It is named with what it was at when it was last heard of, and again when it sends heartbeats."""
    awake, seen = Event(), Event()

    def run(world):
        ear = Ear() if world.rank == 0 else None
        heartbeat = HeartbeatSender(world, ["a", "a"], HeartbeatTiming(interval=INTERVAL), ear)
        if ear is not None:
            heartbeat.take(Heartbeats((Heartbeat(1, 1, 0.0, 0.0, 1, "t", 3),)), 1)
            heartbeat.note(ProgressReport(StepProgress("t", 3, 0, None, 1.0, 0.5, 7)))
            turn(world, heartbeat, lambda: ear.events)
            awake.set()
            turn(world, heartbeat, lambda: len(ear.events) == 2)
            seen.set()
        else:
            assert awake.wait(20)
            turn(world, heartbeat, seen.is_set)
        heartbeat.stop()
        return ear

    (silent, silence), (back, _) = run_ranks(2, run)[0].events

    assert (silent, back) == ("rank_suspected", "rank_recovered")
    assert silence["seconds"] >= 6 * INTERVAL - 0.1
    assert (silence["rank"], silence["task"], silence["layer"], silence["step"]) == (1, "t", 3, 7)


@pytest.mark.parametrize("hosts", [["a"], ["a", "b"], ["a", "b", "a", "b"]])
def test_every_shape_of_world_says_farewell(hosts):
    """Worlds of one rank, of one rank a node, and of ranks that are dealt to nodes, end at once."""
    began = time.monotonic()
    send_heartbeats(0.0, hosts)

    assert time.monotonic() - began < 10


def test_another_rank_watches_rank_0_after_a_loss():
    """If the standby monitor is lost, another rank begins to watch; rank 0 goes on with the steps that it knows."""

    def run(world):
        ear = Ear() if world.rank == 0 else None
        heartbeat = HeartbeatSender(world, ["a", "b", "a", "b"], HeartbeatTiming(interval=INTERVAL), ear)
        heartbeat.note(ProgressReport(StepProgress("t", 0, 0, None, 1.0, 0.5, 7)))
        before = heartbeat._monitor is not None
        if world.rank == 2:
            return before, None
        heartbeat.move(world.create_group([0, 1, 3], 1), World(generation=1, members=(0, 1, 3)))
        return before, None if heartbeat._monitor is None else heartbeat._monitor._steps

    assert run_ranks(4, run) == [(True, {"t": 7}), (False, {}), (True, None), (False, None)]

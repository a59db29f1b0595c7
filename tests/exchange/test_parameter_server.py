"""No client waits for a task that does not run, versions never go backwards, and rounds end without absent members."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.exchange.packed_arrays import pack
from hpcmtl.exchange.parameter_server import (
    AverageReply,
    ParameterServer,
    Pull,
    PullReply,
    PushForAverage,
    PushVersion,
    VersionChannel,
)

CHANNEL = VersionChannel("p", 10)
PACKED = [pack({"w": np.array([float(version)])}) for version in range(5)]


def server(*members):
    """A parameter server with one merge; what members have together is named, not computed."""

    def together(came):
        if "odd" in came:
            raise ValueError("odd does not fit")
        return pack({"members": np.array([len(came)])})

    return ParameterServer({"m": members}, together)


def test_a_version_is_waited_for_while_its_producer_runs():
    """The answer comes with the version asked for, or a newer one."""
    at = server()
    at.announce(["p", "c"], {})

    assert at.handle(1, Pull(CHANNEL, -1, 2), None) == []
    assert at.handle(0, PushVersion(CHANNEL, 1), PACKED[1]) == []
    assert at.handle(0, PushVersion(CHANNEL, 3), PACKED[3]) == [(1, PullReply(3, "running"), PACKED[3])]


def test_the_first_version_is_number_0():
    """A consumer without a version gets version 0 when it comes, and goes on with it until there is a newer one."""
    at = server()
    at.announce(["p", "c"], {})
    at.handle(1, Pull(CHANNEL, -1, 0), None)

    assert at.handle(0, PushVersion(CHANNEL, 0), PACKED[0]) == [(1, PullReply(0, "running"), PACKED[0])]
    assert at.handle(1, Pull(CHANNEL, 0, 0), None) == [(1, PullReply(0, "running"), None)]


def test_an_older_version_is_not_taken_back():
    """A producer that is tried again publishes versions that are there already: the newest stays."""
    at = server()
    at.announce(["p"], {})
    at.handle(0, PushVersion(CHANNEL, 3), PACKED[3])
    at.handle(0, PushVersion(CHANNEL, 2), PACKED[2])

    assert at.handle(1, Pull(CHANNEL, 2, 0), None) == [(1, PullReply(3, "running"), PACKED[3])]
    assert at.handle(1, Pull(CHANNEL, 3, 0), None) == [(1, PullReply(3, "running"), None)]
    assert at.handle(1, Pull(VersionChannel("p", 20), -1, 0), None) == []


def test_who_waits_learns_that_the_producer_paused_or_ended():
    """With the newest version that there is, even if it is older than what was waited for."""
    for news, state in (
        ((["c"], {}), "paused"),
        ((["c"], {"p": "complete"}), "complete"),
        (([], {"p": "failed"}), "failed"),
    ):
        at = server()
        at.announce(["p", "c"], {})
        at.handle(0, PushVersion(CHANNEL, 1), PACKED[1])
        at.handle(1, Pull(CHANNEL, 0, 4), None)

        assert at.announce(*news) == [(1, PullReply(1, state), None if state == "complete" else PACKED[1])]


def test_nobody_goes_on_without_the_version_of_a_task_that_is_made_again():
    """Its last version went with its completion: who has none waits for the next, who has it goes on with that."""
    at = server()
    at.announce(["p", "c"], {})
    at.handle(0, PushVersion(CHANNEL, 3), PACKED[3])
    at.announce(["c"], {"p": "complete"})
    at.announce(["c"], {})

    assert at.handle(1, Pull(CHANNEL, -1, 0), None) == [(1, PullReply(-1, "paused"), None)]
    assert at.handle(1, Pull(CHANNEL, 3, 3), None) == [(1, PullReply(3, "paused"), None)]
    assert at.announce(["c", "p"], {}) == []
    assert at.handle(1, Pull(CHANNEL, 3, 3), None) == [(1, PullReply(3, "running"), None)]
    assert at.handle(1, Pull(CHANNEL, -1, 0), None) == []
    assert at.handle(0, PushVersion(CHANNEL, 2), PACKED[2]) == [(1, PullReply(2, "running"), PACKED[2])]
    assert at.handle(1, Pull(CHANNEL, 3, 3), None) == [(1, PullReply(3, "running"), None)]
    assert at.handle(1, Pull(CHANNEL, 1, 3), None) == []
    assert at.announce(["c"], {"p": "complete"}) == [(1, PullReply(2, "complete"), None)]


def test_a_round_is_over_when_all_who_run_have_come():
    """Members that have not started, have paused or have ended are not waited for."""
    at = server("a", "b", "c")
    at.announce(["a", "b"], {})

    assert at.handle(0, PushForAverage("m", "a"), PACKED[0]) == []
    (first, second) = at.handle(1, PushForAverage("m", "b"), PACKED[1])
    assert (first[:2], second[:2]) == ((0, AverageReply(("a", "b"))), (1, AverageReply(("a", "b"))))
    assert first[2].arrays()["members"] == 2
    assert at.handle(0, PushForAverage("m", "a"), PACKED[0]) == []
    assert at.announce(["a", "c"], {"b": "failed"}) == []
    assert at.announce(["a"], {"b": "failed"}) == [(0, AverageReply(("a",)), None)]


def test_members_that_do_not_fit_are_told_so():
    """All that came get the problem, and no parameters."""
    at = server("a", "odd")
    at.announce(["a", "odd"], {})
    at.handle(0, PushForAverage("m", "a"), PACKED[0])

    problem = AverageReply(("a", "odd"), "odd does not fit")
    assert at.handle(1, PushForAverage("m", "odd"), PACKED[1]) == [(0, problem, None), (1, problem, None)]


@given(st.integers(2, 5), st.integers(0, 2**32).map(random.Random))
def test_nobody_waits_for_ever(tasks, chance):
    """Tasks come, pause, go on, fail and end at random: every one that waits is answered before all have ended."""
    names = [f"t{i}" for i in range(tasks)]
    at, running, ended, waits, left = server(*names), set(), {}, {}, dict.fromkeys(names, 6)
    versions = dict.fromkeys(names, -1)

    def answer(replies):
        for rank, reply, _ in replies:
            task = names[rank]
            assert waits.pop(task, None) is not None, "an answer that nobody asked for"
            if isinstance(reply, PullReply):
                assert reply.version >= versions[task], "a version went backwards"
                versions[task] = reply.version
            else:
                assert task in reply.members
                assert set(reply.members) <= running

    while len(ended) < tasks:
        free = sorted(running - waits.keys())
        task = chance.choice(free or [name for name in names if name not in running and name not in ended])
        rank, producer = names.index(task), names[0]
        if task not in running:
            running.add(task)
            answer(at.announce(running, ended))
        elif left[task] == 0 or chance.random() < 0.2:
            running.discard(task)
            if left[task] == 0:
                ended[task] = chance.choice(["complete", "failed"])
            answer(at.announce(running, ended))
        else:
            left[task] -= 1
            version = 6 - left[task]
            if task == producer:
                answer(at.handle(rank, PushVersion(VersionChannel(producer, 1), version), PACKED[0]))
            if task != producer and chance.random() < 0.5:
                waits[task] = "a version"
                answer(at.handle(rank, Pull(VersionChannel(producer, 1), versions[task], version - 2), None))
            else:
                waits[task] = "a round"
                answer(at.handle(rank, PushForAverage("m", task), PACKED[0]))

    assert not waits

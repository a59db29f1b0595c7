"""The office over real messages: what was published arrives whole, and who waits is woken by what happens."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.exchange.merging import combine, contribution
from hpcmtl.exchange.office import Ask, Channel, Contribute, Merged, Newest, Office
from hpcmtl.exchange.post import OfficeThread, Post

CHANNEL = Channel("p", 1)

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_versions_and_rounds(ranks):
    """Every rank, the office's own included, publishes, asks and merges; each closes, and the office ends."""
    everyone = [f"t{rank}" for rank in range(ranks)]

    def on_rank(world):
        post, thread = Post(requests := world.dup(), replies := world.dup()), None
        if world.rank == 0:
            thread = OfficeThread(requests, replies, Office({"m": tuple(everyone)}, combine))
            thread.start()
            thread.announce([*everyone, "p"], {})
        world.barrier()
        if world.rank == ranks - 1:
            for version in range(50):
                array = np.full(10_000, version, np.float32)
                post.publish(CHANNEL, version, {"w": array})
                array[:] = -1  # it has been copied
            while not post.publish(CHANNEL, 50, {"w": np.full(10_000, 50, np.float32)}):
                pass
        newest, parcel = post.ask(Ask(CHANNEL, -1, 50))
        same, nothing = post.ask(Ask(CHANNEL, 50, 0))
        brought = contribution({"w": np.full(3, float(world.rank))}, weight=1.0)
        merged, together = post.contribute(Contribute("m", everyone[world.rank]), brought)
        post.close()
        if thread is not None:
            thread.join()

        assert (newest, same, nothing) == (Newest(50, "running"), Newest(50, "running"), None)
        assert (parcel.arrays()["w"] == 50).all()
        assert merged == Merged(tuple(everyone))
        if ranks > 1:
            assert (together.arrays()["w"] == (ranks - 1) / 2).all()

    run_ranks(ranks, on_rank)


def test_a_waiting_rank_is_woken_by_news(caplog, monkeypatch):
    """A rank that waits for a version says so after a while, and goes on when the producer pauses."""
    monkeypatch.setattr("hpcmtl.exchange.post.SECONDS_BETWEEN_WARNINGS", 0.05)

    def on_rank(world):
        post = Post(requests := world.dup(), replies := world.dup())
        if world.rank == 1:
            answer = post.ask(Ask(CHANNEL, -1, 7))
            post.close()
            return answer
        thread = OfficeThread(requests, replies, Office({}, combine))
        thread.announce(["p"], {})
        thread.start()
        said = threading.Event()
        while not said.wait(0.01):
            if "waiting for version 7 of p" in caplog.text:
                said.set()
        thread.announce([], {})
        post.close()
        thread.join()
        return None

    assert run_ranks(2, on_rank)[1] == (Newest(-1, "paused"), None)

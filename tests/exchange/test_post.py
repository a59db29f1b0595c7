"""The office over real messages: what was published arrives whole, and who waits is woken by what happens."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from hpcmtl.communicators.base import CommunicationError
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
    monkeypatch.setattr("hpcmtl.exchange.post.PATIENCE", 1000)  # on a busy machine the office may be slow

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


def test_an_office_without_a_sign_of_life(monkeypatch):
    """A rank that waits for an office which does not work is told so, with what it waited for."""
    monkeypatch.setattr("hpcmtl.exchange.post.SECONDS_BETWEEN_WARNINGS", 0.01)

    def on_rank(world):
        post = Post(world.dup(), world.dup())
        if world.rank == 1:
            with pytest.raises(CommunicationError, match=r"rank 1: the office on rank 0 .* for version 7 of p"):
                post.ask(Ask(CHANNEL, -1, 7))
        world.barrier()

    run_ranks(2, on_rank)


def test_a_slow_office_is_not_lost(monkeypatch):
    """As long as the office answers, a rank waits for whatever it takes."""
    monkeypatch.setattr("hpcmtl.exchange.post.SECONDS_BETWEEN_WARNINGS", 0.2)
    monkeypatch.setattr("hpcmtl.exchange.post.PATIENCE", 4)

    def on_rank(world):
        post = Post(requests := world.dup(), replies := world.dup())
        thread = OfficeThread(requests, replies, Office({}, combine)) if world.rank == 0 else None
        if thread is not None:
            thread.announce(["p"], {})
            thread.start()
            threading.Event().wait(2.0)  # longer than the patience
            thread.announce([], {})
            post.close()
            thread.join()
            return None
        answer = post.ask(Ask(CHANNEL, -1, 7))
        post.close()
        return answer

    assert run_ranks(2, on_rank)[1] == (Newest(-1, "paused"), None)

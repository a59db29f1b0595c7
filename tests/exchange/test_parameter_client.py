"""The parameter server over real messages: pushed versions arrive complete, and waiting clients get replies."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from hpcmtl.communicators.base import CommunicationError
from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.exchange.packed_arrays import send
from hpcmtl.exchange.parameter_client import ParameterClient, ParameterServerThread, Ping
from hpcmtl.exchange.parameter_server import (
    AverageReply,
    ParameterServer,
    Pull,
    PullReply,
    PushForAverage,
    VersionChannel,
)
from hpcmtl.training.coupling.merging import combine, contribution

CHANNEL = VersionChannel("p", 1)

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_versions_and_rounds(ranks):
    """Every rank, the server's own included, pushes, pulls and averages; each client closes, and the server ends."""
    everyone = [f"t{rank}" for rank in range(ranks)]

    def on_rank(world):
        parameter_client, thread = ParameterClient(requests := world.dup(), replies := world.dup()), None
        if world.rank == 0:
            thread = ParameterServerThread(requests, replies, ParameterServer({"m": tuple(everyone)}, combine))
            thread.start()
            thread.announce([*everyone, "p"], {})
        world.barrier()
        if world.rank == ranks - 1:
            for version in range(50):
                array = np.full(10_000, version, np.float32)
                parameter_client.push_version(CHANNEL, version, {"w": array})
                array[:] = -1  # it has been copied
            while not parameter_client.push_version(CHANNEL, 50, {"w": np.full(10_000, 50, np.float32)}):
                pass
        newest, packed = parameter_client.pull(Pull(CHANNEL, -1, 50))
        same, nothing = parameter_client.pull(Pull(CHANNEL, 50, 0))
        brought = contribution({"w": np.full(3, float(world.rank))}, weight=1.0)
        merged, together = parameter_client.push_for_average(PushForAverage("m", everyone[world.rank]), brought)
        parameter_client.close()
        if thread is not None:
            thread.join()

        assert (newest, same, nothing) == (PullReply(50, "running"), PullReply(50, "running"), None)
        assert (packed.arrays()["w"] == 50).all()
        assert merged == AverageReply(tuple(everyone))
        if ranks > 1:
            assert (together.arrays()["w"] == (ranks - 1) / 2).all()

    run_ranks(ranks, on_rank)


def test_a_waiting_rank_is_woken_by_news(caplog, monkeypatch):
    """A rank that waits for a version says so after a while, and goes on when the producer pauses."""
    monkeypatch.setattr("hpcmtl.exchange.parameter_client.SECONDS_BETWEEN_WARNINGS", 0.05)
    monkeypatch.setattr("hpcmtl.exchange.parameter_client.PATIENCE", 1000)  # on a busy machine the server may be slow

    def on_rank(world):
        parameter_client = ParameterClient(requests := world.dup(), replies := world.dup())
        if world.rank == 1:
            answer = parameter_client.pull(Pull(CHANNEL, -1, 7))
            parameter_client.close()
            return answer
        thread = ParameterServerThread(requests, replies, ParameterServer({}, combine))
        thread.announce(["p"], {})
        thread.start()
        said = threading.Event()
        while not said.wait(0.01):
            if "waiting for version 7 of p" in caplog.text:
                said.set()
        thread.announce([], {})
        parameter_client.close()
        thread.join()
        return None

    assert run_ranks(2, on_rank)[1] == (PullReply(-1, "paused"), None)


def test_a_server_that_does_not_answer(monkeypatch):
    """A client whose server does not answer fails, and names what it waited for."""
    monkeypatch.setattr("hpcmtl.exchange.parameter_client.SECONDS_BETWEEN_WARNINGS", 0.01)

    def on_rank(world):
        parameter_client = ParameterClient(world.dup(), world.dup())
        if world.rank == 1:
            with pytest.raises(CommunicationError, match=r"rank 1: the parameter server .* for version 7 of p"):
                parameter_client.pull(Pull(CHANNEL, -1, 7))
        world.barrier()

    run_ranks(2, on_rank)


def test_a_slow_server_is_not_lost(monkeypatch):
    """A client waits without a bound while the server answers."""
    monkeypatch.setattr("hpcmtl.exchange.parameter_client.SECONDS_BETWEEN_WARNINGS", 0.2)
    monkeypatch.setattr("hpcmtl.exchange.parameter_client.PATIENCE", 4)

    def on_rank(world):
        parameter_client = ParameterClient(requests := world.dup(), replies := world.dup())
        thread = ParameterServerThread(requests, replies, ParameterServer({}, combine)) if world.rank == 0 else None
        if thread is not None:
            thread.announce(["p"], {})
            thread.start()
            threading.Event().wait(2.0)  # longer than the patience
            thread.announce([], {})
            parameter_client.close()
            thread.join()
            return None
        answer = parameter_client.pull(Pull(CHANNEL, -1, 7))
        parameter_client.close()
        return answer

    assert run_ranks(2, on_rank)[1] == (PullReply(-1, "paused"), None)


def test_an_answered_ping_is_not_awaited_at_the_close(monkeypatch):
    """A client whose server has answered closes at once: it expects no message more."""
    monkeypatch.setattr("hpcmtl.exchange.parameter_client.SECONDS_BETWEEN_WARNINGS", 10.0)

    def on_rank(world):
        parameter_client = ParameterClient(world.dup(), replies := world.dup())
        for reply in Ping(), PullReply(7, "running"):
            send(replies, 0, reply)
        answer = parameter_client.pull(Pull(CHANNEL, -1, 7))
        began = time.monotonic()
        parameter_client.close()
        return answer, time.monotonic() - began

    answer, seconds = run_ranks(1, on_rank)[0]

    assert answer == (PullReply(7, "running"), None)
    assert seconds < 5


def test_the_server_does_not_keep_a_process_alive():
    """A main thread that fails leaves the server behind: its process ends all the same."""

    def on_rank(world):
        return ParameterServerThread(world.dup(), world.dup(), ParameterServer({}, combine)).daemon

    assert run_ranks(1, on_rank) == [True]

"""The office over real messages: what was published arrives whole, and who waits is woken by what happens."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from hpcmtl.communicators.base import CommunicationError
from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.exchange.parameter_client import ParameterClient, ParameterServerThread
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

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_versions_and_rounds(ranks):
    """Every rank, the office's own included, publishes, asks and merges; each closes, and the office ends."""
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
                parameter_client.publish(CHANNEL, version, {"w": array})
                array[:] = -1  # it has been copied
            while not parameter_client.publish(CHANNEL, 50, {"w": np.full(10_000, 50, np.float32)}):
                pass
        newest, packed = parameter_client.ask(Pull(CHANNEL, -1, 50))
        same, nothing = parameter_client.ask(Pull(CHANNEL, 50, 0))
        brought = contribution({"w": np.full(3, float(world.rank))}, weight=1.0)
        merged, together = parameter_client.contribute(PushForAverage("m", everyone[world.rank]), brought)
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
    monkeypatch.setattr("hpcmtl.exchange.parameter_client.PATIENCE", 1000)  # on a busy machine the office may be slow

    def on_rank(world):
        parameter_client = ParameterClient(requests := world.dup(), replies := world.dup())
        if world.rank == 1:
            answer = parameter_client.ask(Pull(CHANNEL, -1, 7))
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


def test_an_office_without_a_sign_of_life(monkeypatch):
    """A rank that waits for an office which does not work is told so, with what it waited for."""
    monkeypatch.setattr("hpcmtl.exchange.parameter_client.SECONDS_BETWEEN_WARNINGS", 0.01)

    def on_rank(world):
        parameter_client = ParameterClient(world.dup(), world.dup())
        if world.rank == 1:
            with pytest.raises(CommunicationError, match=r"rank 1: the office on rank 0 .* for version 7 of p"):
                parameter_client.ask(Pull(CHANNEL, -1, 7))
        world.barrier()

    run_ranks(2, on_rank)


def test_a_slow_office_is_not_lost(monkeypatch):
    """As long as the office answers, a rank waits for whatever it takes."""
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
        answer = parameter_client.ask(Pull(CHANNEL, -1, 7))
        parameter_client.close()
        return answer

    assert run_ranks(2, on_rank)[1] == (PullReply(-1, "paused"), None)

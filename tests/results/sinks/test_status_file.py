"""The file that `hpcmtl status` reads while a run goes on."""

import json
import threading
import time
from itertools import count
from types import SimpleNamespace

import pytest
from events import event
from plans import SMALL_PLAN

from hpcmtl.results.heartbeat import Heartbeat
from hpcmtl.results.sinks import write_thread
from hpcmtl.results.sinks.status_file import SECONDS_BETWEEN_WRITES, StatusFile

TIMING = {"seconds_between_heartbeats": 5.0, "suspect_after": 30.0}


def test_ages_count_from_the_heartbeat(tmp_path):
    """A heartbeat that has just arrived is no more than seconds old, in the rows of its rank and of its node."""
    before = time.time()
    file = StatusFile(tmp_path / "status.json", SMALL_PLAN, ["h", "h"], TIMING)
    file.on_heartbeats([Heartbeat(rank=1, rss=1, cpu=0.5, load=1.0, memory_available=9)])
    file.close()
    status = json.loads((tmp_path / "status.json").read_text())
    (rank,), (node,) = status["rank_heartbeats"], status["nodes"]

    assert (rank["rank"], rank["host"], node["ranks"]) == (1, "h", [0, 1])
    assert 0 <= rank["age"] <= time.time() - before
    assert 0 <= node["age"] <= time.time() - before


@pytest.mark.parametrize(("took", "pause"), [(0.001, SECONDS_BETWEEN_WRITES), (0.5, 25.0), (4.0, 200.0)])
def test_slow_writes_are_rare(tmp_path, monkeypatch, took, pause):
    """The pause after a write is at least a second, and so long that 2 % of the time go into writing."""
    pauses, paused = [], threading.Event()

    class Recorded(threading.Event):
        def wait(self, timeout=None):
            if timeout is not None:
                pauses.append(timeout)
                paused.set()
            return super().wait(timeout)

    clock = count(0.0, took)  # each look at it is one write later
    monkeypatch.setattr(write_thread, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(write_thread, "threading", SimpleNamespace(Event=Recorded, Thread=threading.Thread))
    file = StatusFile(tmp_path / "status.json", SMALL_PLAN, ["h"], TIMING)
    file.on_event(event("job_started", job="small", ranks=1), 1.0)
    seen = paused.wait(60)
    file.close()

    assert seen
    assert pauses[0] == pytest.approx(pause)

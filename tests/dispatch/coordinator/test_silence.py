"""Layers that say nothing for long are given up, by a bound from the time of their steps; other work has time."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulation import Simulation, graph_of

from hpcmtl.dispatch.coordinator.running import StopNowError
from hpcmtl.dispatch.coordinator.silence import LONGEST, SECONDS_TO_END, SHORTEST, TIMES, UNMEASURED, SilenceWatch
from hpcmtl.dispatch.protocol import Abandon, EventReport, LayerFailed, ProgressReport
from hpcmtl.dispatch.rank.current_layer import SECONDS_A_TURN
from hpcmtl.results.events import CheckpointWritten, RankStuck
from hpcmtl.results.step_progress import StepProgress


class Silent:
    """A simulated layer of task `a` on two ranks, whose reports the test makes."""

    def __init__(self, bound=None, retries=0):
        graph = graph_of({"a": (1, 2)})
        graph = replace(graph, tasks=(replace(graph.tasks[0], retries=retries),))
        self.simulation = Simulation((graph, 2))
        self.dispatcher = self.simulation.dispatcher
        self.dispatcher.silence = SilenceWatch(bound)
        self.now = 0.0
        self.simulation.obey(self.dispatcher.start(0.0))

    def progress(self, seconds_to_next):
        report = StepProgress("a", 0, 0, None, 1.0, 0.5, seconds_to_next=seconds_to_next)
        self.dispatcher.handle(ProgressReport(report), self.now)

    def wait(self, seconds):
        """Looks at the clock every second; returns the orders of the last look that had some."""
        found, end = [], self.now + seconds
        while self.now < end:
            self.now += 1
            found = self.dispatcher.check(self.now) or found
        return found

    def recorded(self, event):
        return [fields for name, fields in self.simulation.events if name == event]


@settings(max_examples=min(20, settings.default.max_examples), deadline=None)
@given(st.floats(0.01, 1000))
def test_the_bound_follows_the_steps(seconds_to_next):
    """A layer is given up after 20 times the time to its next report, but not before 10 minutes nor after 30."""
    layer = Silent()
    layer.progress(seconds_to_next)
    bound = max(min(max(TIMES * seconds_to_next, SHORTEST), LONGEST), 3 * seconds_to_next)

    assert layer.wait(bound - 2) == []
    (order,) = layer.wait(4)
    assert order.members == (0, 1)
    assert isinstance(order.command, Abandon)
    assert order.command.stuck == pytest.approx(bound, abs=3)
    assert [event["silent_ranks"] for event in layer.recorded("layer_stuck")] == [(0, 1)]


def test_what_is_no_step_has_time():
    """Before the first report nothing is bounded, and a first validation or checkpoint has two hours."""
    start, validation = Silent(), Silent()
    validation.progress(None)

    assert start.wait(2 * UNMEASURED) == validation.wait(UNMEASURED - 2) == []
    assert validation.wait(4)


def test_measured_pauses_bound_later_ones():
    """After a pause of a known length the next one of its kind is bounded, generously."""
    layer = Silent()
    layer.progress(None)
    layer.wait(200)
    layer.progress(None)

    assert layer.wait(TIMES * 198) == []
    assert layer.wait(3 * TIMES)


def test_a_word_of_any_kind_puts_it_off():
    """A checkpoint that is written meanwhile shows that the layer is alive."""
    layer = Silent()
    layer.progress(1.0)
    layer.wait(100)
    layer.dispatcher.handle(EventReport(CheckpointWritten(task="a", step=1, seconds=1.0, held=1.0, bytes=1)), layer.now)

    assert layer.wait(SHORTEST - 2) == []
    assert layer.wait(4)


def test_a_stopped_process_hears_nothing():
    """Where this process was stopped, as by the suspension of a job, its silence is no word on the layer."""
    layer = Silent()
    layer.progress(1.0)
    layer.wait(60)
    layer.now += 86400

    assert layer.wait(SHORTEST - 65) == []
    assert layer.wait(10)


@pytest.mark.parametrize(("bound", "silence", "found"), [(5.0, 4.0, False), (5.0, 8.0, True), (0.0, 1e5, False)])
def test_a_bound_of_the_user(bound, silence, found):
    """It holds for all work of the layer, from its start on; 0 means that nothing is ever given up."""
    layer = Silent(bound)

    assert bool(layer.wait(silence)) == found


def test_tasks_that_cannot_stop_have_no_bound():
    """A function of the user's reports nothing for hours, which says nothing."""
    layer = Silent(5.0)
    state = layer.dispatcher.tasks["a"]
    state.plan = replace(state.plan, facts=replace(state.plan.facts, stops_at_steps=False))

    assert layer.wait(1000) == []


@pytest.mark.parametrize("retries", [0, 1])
def test_a_stuck_layer_fails_its_task(retries):
    """Its ranks come out and the task fails with the places where they were, or is tried again if it may be."""
    layer = Silent(5.0, retries)
    layer.wait(8)
    for member, place in enumerate(["mpi.py:150 in Allreduce", "own.py:3 in forward"]):
        layer.dispatcher.handle(EventReport(RankStuck(task="a", layer=0, rank=member, place=place)), layer.now)
    for member in (0, 1):
        failure = {"member": member, "task": "a", "layer": 0, "group": (0, 1), "start_number": 1, "lost": True}
        layer.dispatcher.handle(LayerFailed(**failure, message="revoked"), layer.now)
    texts = [event["message"] for event in layer.recorded("task_retried") + layer.recorded("task_ended")]

    assert len(texts) == 1
    assert texts[0].startswith("stuck: no step for 6 s (rank 0 in mpi.py:150 in Allreduce, rank 1 in own.py:3 in forw")
    assert (layer.dispatcher.tasks["a"].status == "failed") == (not retries)
    assert layer.recorded("layer_restarted") == []


def test_ranks_that_never_come_out_end_the_run():
    """Where ranks cannot be told to leave, the task has failed by the ledger before the run is ended."""
    layer = Silent(5.0)
    with pytest.raises(StopNowError, match=r"ranks 0, 1 cannot be told to leave a layer that was given up after 6 s"):
        layer.wait(14 + 2 * SECONDS_A_TURN + SECONDS_TO_END)

    assert [event["status"] for event in layer.recorded("task_ended")] == ["failed"]


def test_ranks_have_time_to_come_out_in_turn():
    """A layer that was given up after 6 s has as long again, the turn of each of its ranks, and what an end takes."""
    layer = Silent(5.0)
    layer.wait(7)
    layer.wait(6 + 2 * SECONDS_A_TURN + SECONDS_TO_END - 1)

    with pytest.raises(StopNowError, match="ranks 0, 1 cannot be told to leave"):
        layer.wait(3)

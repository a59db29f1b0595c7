"""The coordinator joins dispatcher, task sources, time limit and subscribers, in a fixed order."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from simulation import Simulation, graph_of
from task_sources import Successor

from hpcmtl.dispatch.coordinator.coordinator import Coordinator
from hpcmtl.dispatch.coordinator.running import StopNowError
from hpcmtl.dispatch.coordinator.task_source import ExtendedJob
from hpcmtl.dispatch.protocol import EndOfJob, ExtendJob, StopRequest, StopTraining
from hpcmtl.dispatch.requests.request_queue import RequestFolder, RequestQueue
from hpcmtl.layerplan.solve.policies import make_plan
from hpcmtl.results.rundir.requests import Answer, new_request, read_answer, submit


def job_of(ranks, *names):
    """A job of tasks of one layer each."""
    graph = graph_of(dict.fromkeys(names, (1, 1)))
    return ExtendedJob(
        plan=make_plan(graph, ranks), graph=graph, extension=ExtendJob(job=names, files={}, arrays={}, folder="")
    )


class Chained(Simulation):
    """A simulation whose coordinator is asked after every report, as by the control thread."""

    def obey(self, orders):
        super().obey(orders)
        while more := self.coordinator.check(self.now):
            super().obey(more)


def test_a_task_follows_another():
    """A source adds a task when another has ended, and a third after that; the job ends when both are done."""
    graph = graph_of({"t0": (1, 1)})
    sources = [
        Successor("t0", "t1", lambda then: job_of(2, "t0", then)),
        Successor("t1", "t2", lambda then: job_of(2, "t0", "t1", then)),
    ]
    simulation = Chained((graph, 2), sources=sources)
    simulation.needs |= {"t1": (), "t2": ()}
    simulation.run()

    assert simulation.statuses() == dict.fromkeys(("t0", "t1", "t2"), "complete")
    assert [rank.ends for rank in simulation.ranks] == [1, 1]


def test_a_source_that_gives_up_lets_the_job_end():
    """Where the task that a source waits for fails, nothing comes after it and the job ends."""
    sources = [Successor("t0", "t1", lambda then: job_of(1, "t0", then))]
    simulation = Chained((graph_of({"t0": (1, 1)}), 1), failing={("t0", 0): frozenset({0})}, sources=sources).run()

    assert simulation.statuses() == {"t0": "failed"}
    assert [rank.ends for rank in simulation.ranks] == [1]


def test_two_sources_at_once():
    """A job that was examined before another source added a task is made again, so that no task is lost."""
    proposals = iter([("t0", "t1"), ("t0", "t2"), ("t0", "t1", "t2")])  # the second one knows nothing of t1
    sources = [Successor("t0", then, lambda _then: job_of(1, *next(proposals))) for then in ("t1", "t2")]
    simulation = Chained((graph_of({"t0": (1, 1)}), 1), sources=sources)
    simulation.needs |= {"t1": (), "t2": ()}
    simulation.run()

    assert simulation.statuses() == dict.fromkeys(("t0", "t1", "t2"), "complete")


def test_a_layer_that_ends_at_the_limit_makes_room_for_none():
    """The stop for the time limit comes before the report: its layer ends, and no other starts in its place."""
    simulation = Simulation((graph_of({"t0": (3, 1)}), 1), seconds_left=100.0)
    simulation.obey(simulation.coordinator.start(0.0))
    simulation.now = 95.0
    report = []
    handle = simulation.coordinator.handle
    simulation.coordinator.handle = lambda said, now: report.append(handle(said, now)) or report[-1]
    simulation.end_layer(0)

    assert isinstance(report[0][0].command, StopTraining)
    assert isinstance(report[0][-1].command, EndOfJob)
    assert [command.layer for command in simulation.started] == [0]


def test_subscribers_hear_of_ends_before_the_orders():
    """A decision is announced once for each report, with the tasks that run then, and never for an idle look."""
    heard = []
    simulation = Simulation((graph_of({"t0": (1, 1), "t1": (1, 1)}), 2))
    simulation.coordinator.subscribe(SimpleNamespace(announce=lambda running, ended: heard.append((running, ended))))
    simulation.obey(simulation.coordinator.start(0.0))
    simulation.coordinator.check(1.0)
    simulation.end_layer(0)

    (first, none), (then, ended) = heard

    assert (sorted(first), none) == (["t0", "t1"], {})
    assert sorted([*then, *ended]) == ["t0", "t1"]
    assert list(ended.values()) == ["complete"]


def test_the_limit_does_not_stop_a_job_that_is_over():
    """A job whose tasks have ended waits for its sources; once they expect nothing more it just ends, at any time."""
    source = SimpleNamespace(exhausted=False, poll=lambda now: None, on_event=lambda event: None)
    simulation = Simulation((graph_of({"t0": (1, 1)}), 1), seconds_left=100.0, sources=[source])
    simulation.obey(simulation.coordinator.start(0.0))
    simulation.end_layer(0)
    source.exhausted = True
    orders = simulation.coordinator.check(95.0)

    assert [order.command for order in orders] == [EndOfJob()]
    assert "job_stopping" not in [event for event, _ in simulation.events]


@pytest.mark.parametrize("takes_requests", [True, False])
def test_what_comes_too_late_is_refused(tmp_path, takes_requests):
    """The end closes the task sources, and answers the requests that wait where requests are taken."""
    closed = []
    source = SimpleNamespace(exhausted=True, close=lambda: closed.append(True))
    simulation = Simulation((graph_of({"t0": (1, 1)}), 1), sources=[source])
    queue = RequestQueue(RequestFolder(tmp_path, simulation.record), simulation.dispatcher) if takes_requests else None
    request = new_request("pause", "t0")
    submit(tmp_path, request)
    Coordinator(simulation.dispatcher, requests=queue).close()

    assert closed == [True]
    assert read_answer(tmp_path, request) == (Answer(False, "the run has ended") if takes_requests else None)


@pytest.mark.parametrize(
    ("name", "grace", "ends"), [("SIGTERM", 5.0, True), ("SIGUSR1", 5.0, False), ("SIGTERM", 0.0, False)]
)
def test_sigterm_leaves_a_limited_time(name, grace, ends):
    """Layers that have not stopped after SIGTERM and a grace end with the run; another signal leaves all the time."""
    dispatcher = Simulation((graph_of({"t0": (1, 1)}), 1)).dispatcher
    coordinator = Coordinator(dispatcher, grace=grace)
    coordinator.start(0.0)
    coordinator.handle(StopRequest(member=0, signal=name), 1.0)
    coordinator.handle(StopRequest(member=0, signal=name), 4.0)
    coordinator.check(5.9)

    with pytest.raises(StopNowError, match="no step boundary of t0 within 5 s") if ends else nullcontext():
        coordinator.check(6.1)

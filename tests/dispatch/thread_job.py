"""Jobs on ranks that are threads: control threads, workers and the dispatcher as ever, sessions that only talk."""

import threading
from contextlib import suppress

from hpcmtl.communicators.base import RankLostError
from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.dispatch.coordinator.coordinator import Coordinator
from hpcmtl.dispatch.coordinator.dispatcher import Dispatcher
from hpcmtl.dispatch.coordinator.task_source import TaskSources
from hpcmtl.dispatch.rank.channels import ThreadChannels
from hpcmtl.dispatch.rank.control import ControlThread
from hpcmtl.dispatch.rank.worker import Worker
from hpcmtl.dispatch.requests.additions import AddedTasks
from hpcmtl.dispatch.requests.request_queue import RequestFolder, RequestQueue
from hpcmtl.dispatch.scheduling.select import scheduler_for
from hpcmtl.errors import InputError, Problem
from hpcmtl.layerplan.solve.policies import make_plan
from hpcmtl.results.event_format import to_fields
from hpcmtl.training.session import LayerOutcome


class Job:
    """A job on ranks that are threads; `run_layer` is what every session does."""

    def __init__(self, graph, ranks, run_layer, policy="variable", session=None):
        self.plan = make_plan(graph, ranks, policy)
        self.graph = graph
        self.run_layer = run_layer
        self.session = session or Talker
        self.lock = threading.Lock()
        self.calls = []  # (task, layer, rank in the world) as they begin
        self.closed = []  # (task, rank in the world)
        self.events = []
        self.progresses = []
        self.channels = {}
        self.requests = None  # folder of requests
        self.meets = False  # whether tasks meet while they run

    def record(self, event):
        """See `Observer`."""
        self.events.append((event.name, to_fields(event)))

    def progressed(self, progress):
        """See `Observer`."""
        self.progresses.append(progress)

    def add_points(self, points):
        """See `Observer`; nobody measures anything here."""

    def run(self):
        """Run it and return the status of each task."""
        return run_ranks(self.plan.ranks, self._rank)[0]

    def ended(self, status):
        """Tasks that ended so."""
        return {fields["task"] for event, fields in self.events if event == "task_ended" and fields["status"] == status}

    def _rank(self, world):
        control_comm = world.dup()
        channels = self.channels[world.rank] = ThreadChannels()
        channels.comms.parameter_exchange = (world.dup(),) if self.meets else ()
        coordinator = self._coordinator() if world.rank == 0 else None
        control = ControlThread(control_comm, channels, coordinator)
        worker = Worker(
            world, channels, lambda command, group, states: self.session(self, command.task, group, (world, channels))
        )
        control.start()
        worker.run()
        control.join()
        with suppress(RankLostError):
            channels.comms.main.barrier()
        return {name: state.status for name, state in coordinator.dispatcher.tasks.items()} if coordinator else None

    def _coordinator(self):
        folder = RequestFolder(self.requests, self.record)
        added = AddedTasks(Refusing(), folder.answer)
        scheduler = scheduler_for(self.graph, self.plan)
        dispatcher = Dispatcher(self.plan, self.graph, self, scheduler, sources=TaskSources((added,)))
        return Coordinator(dispatcher, requests=RequestQueue(folder, dispatcher, added) if self.requests else None)


class Refusing:
    """A `JobExaminer` that refuses all tasks."""

    def examine(self, request):
        """See `JobExaminer`."""
        raise InputError([Problem("add", "not here")])


class Talker:
    """A session whose layers talk to the group, as training does."""

    def __init__(self, job, task, group, place):
        self.job, self.task, self.group = job, task, group
        self.world, self.channels = place
        self.group.barrier()

    def run_layer(self, layer):
        """See `Session`."""
        with self.job.lock:
            self.job.calls.append((self.task, layer, self.world.rank))
        stopped = bool(self.job.run_layer(self, layer))
        start = self.channels.layer.start_number
        assert start > 0
        assert self.group.allgather((self.task, layer, start)) == [(self.task, layer, start)] * self.group.size
        return LayerOutcome(1, 1, 0.0, 0.0, stopped=stopped, reached=layer + 1)

    def close(self):
        """See `Session`."""
        self.group.barrier()
        with self.job.lock:
            self.job.closed.append((self.task, self.world.rank))

    def rebinder(self):
        """See `Session`."""
        return self._join

    def _join(self, group, step):
        assert step is not None
        self.group = group
        self.group.barrier()


def nothing(session, layer):
    """A layer that does nothing but talk."""


def diamond(count, layers):
    """`count` tasks in columns that meet now and then, of one to three ranks where there are as many."""
    names = [f"t{i}" for i in range(count)]
    edges = [(names[i], names[i + 3]) for i in range(count - 3)] + [
        (names[i], names[i + 4]) for i in range(0, count - 4, 5)
    ]
    return dict.fromkeys(names, (layers, 1)), edges

"""Simulated ranks in one process: computation and messages of the dispatcher for a layer of many ranks."""

from __future__ import annotations

import time
from collections import deque
from statistics import median
from typing import Any


def simulate(ranks: int) -> dict[str, Any]:
    """Returns the dispatcher's time and messages per layer, with simulated ranks in groups of a quarter of all."""
    from hpcmtl.dispatch.coordinator.dispatcher import Dispatcher
    from hpcmtl.dispatch.protocol import RunLayer
    from hpcmtl.dispatch.scheduling.select import scheduler_for
    from hpcmtl.jobfile.work import Work
    from hpcmtl.layerplan.solve.policies import make_plan
    from hpcmtl.taskgraph.graph import TaskGraph, TaskNode
    from hpcmtl.training.session import LayerOutcome

    work = Work(2**22, 2, 2**14, 1024, 10**7, trains=True)
    quarter = ranks // 4
    nodes = [TaskNode(f"t{i}", "train", 0, quarter, quarter, work.input_bytes, 4, work) for i in range(16)]
    graph = TaskGraph(tuple(nodes), ())
    plan = make_plan(graph, ranks)
    dispatcher = Dispatcher(plan, graph, NullObserver(), scheduler_for(graph, plan))
    outcome = LayerOutcome(work.steps // 4, 2**14 // quarter, 4 / work.steps, 1.0)
    seconds, sent, received, now = [], [], [], 0.0
    orders = dispatcher.start(now)
    while not dispatcher.ended:
        started = {(o.command.task, o.command.layer): o.command for o in orders if isinstance(o.command, RunLayer)}
        sent.append(sum(messages(order) for order in orders) / max(len(started), 1))
        orders = []
        now += 1.0
        for command in started.values():
            reports = gathered(command, outcome)
            begun = time.perf_counter()
            for report in reports:
                orders += dispatcher.handle(report, now)
            seconds.append(time.perf_counter() - begun)
            received.append(len(reports))
    return {"ranks": ranks, "seconds": median(seconds), "sent": median(sent), "received": median(received)}


def messages(order: Any) -> int:
    """Returns the number of messages that rank 0 sends for an order; other ranks forward it."""
    from hpcmtl.dispatch.transport.stream import NARROW

    return len(order.members) if len(order.members) <= NARROW else 1


def gathered(command: Any, outcome: Any) -> list[Any]:
    """Returns the reports that rank 0 receives at the end of a layer, as combined by the members' control threads."""
    from hpcmtl.dispatch.protocol import LayerDone
    from hpcmtl.dispatch.transport.reduction import FAN, ReportReduction

    group = command.group
    reductions = {member: ReportReduction(member) for member in group}
    fields = {"task": command.task, "layer": command.layer, "group": group, "start_number": command.start_number}
    outcomes = {member: outcome if member == group[0] else None for member in group}
    pending = deque((m, LayerDone(member=m, outcome=outcomes[m], finished=(m,), **fields)) for m in group)
    received = []
    while pending:
        member, report = pending.popleft()
        passed = reductions[member].take(report)
        if passed is not None and (member == group[0] or len(group) <= FAN):
            received.append(passed[1])
        elif passed is not None:
            pending.append(passed)
    return received


class NullObserver:
    """Ignores all events."""

    def record(self, event: Any) -> None:
        """See `Observer`."""

    def progressed(self, progress: Any) -> None:
        """See `Observer`."""

    def add_points(self, points: Any) -> None:
        """See `Observer`."""

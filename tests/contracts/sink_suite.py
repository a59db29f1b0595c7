"""The contract of a `Sink`, as functions on one that was just opened."""

from events import EXAMPLES, event

from hpcmtl.results.heartbeat import Heartbeat
from hpcmtl.results.step_progress import StepProgress


def takes_every_event(sink):
    """A sink takes events of all kinds, in any order, also twice."""
    for happened in (*EXAMPLES, *reversed(EXAMPLES)):
        sink.on_event(happened, 1.7e9)
    sink.close()


def takes_progress_at_any_time(sink):
    """Progress may come late, or of a task and a layer that the sink has never heard of."""
    progress = StepProgress("a", 0, 0, None, 10.0, 0.5)
    sink.on_progress(progress)
    sink.on_event(event("layer_started", task="a", layer=0, layers=2, first_rank=0, ranks=2), 1.7e9)
    sink.on_progress(progress)
    sink.on_event(event("layer_ended", task="a", layer=0, ranks=2), 1.7e9)
    sink.on_progress(progress)
    sink.close()


def takes_heartbeats_at_any_time(sink):
    """Heartbeats may come of no rank, of some ranks, and before the job has started."""
    sink.on_heartbeats([])
    sink.on_heartbeats([Heartbeat(1, 10**6, 0.5, 1.0, 10**9), Heartbeat(0, 10**6, 0.5, 1.0, 10**9, "a", 0, 3)])
    sink.on_event(event("job_started", job="j", ranks=2), 1.7e9)
    sink.on_heartbeats([Heartbeat(0, 10**6, 0.5, 1.0, 10**9)])
    sink.close()


def closes_without_anything(sink):
    """A run may end before anything has happened."""
    sink.close()


CHECKS = (
    takes_every_event,
    takes_progress_at_any_time,
    takes_heartbeats_at_any_time,
    closes_without_anything,
)

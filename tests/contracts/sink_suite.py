"""The contract of a `Sink`, as functions on one that was just opened."""

from events import EXAMPLES, event

from hpcmtl.results.curves.point import TrainingPoint
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


def takes_points_at_any_time(sink):
    """Points of curves may come of any task, again for the same steps, and with whatever was measured."""
    full = TrainingPoint(
        step=4,
        epoch=1,
        at=1.7e9,
        ends_epoch=True,
        losses={"a.loss": 0.5, "b.loss": 1e-30},
        metrics={"a.val_accuracy": 0.5, "b.val_auc": None},
        learning_rate=1e-3,
        samples_per_second=1e5,
        gradient_norm=2.0,
        loss_scale=1024.0,
        skipped_steps=2,
        weights={"a": 0.25, "b": 0.75},
        cosines=((1.0, -0.5), (-0.5, 1.0)),
    )
    for point in (TrainingPoint(step=1), full, full, TrainingPoint(step=2, at=1.7e9)):
        sink.on_point("t", point)
    sink.on_event(event("layer_started", task="t", layer=0, layers=2, first_rank=0, ranks=2), 1.7e9)
    sink.on_point("t", full)
    sink.on_point("another", full)
    sink.close()


def closes_without_anything(sink):
    """A run may end before anything has happened."""
    sink.close()


CHECKS = (
    takes_every_event,
    takes_progress_at_any_time,
    takes_heartbeats_at_any_time,
    takes_points_at_any_time,
    closes_without_anything,
)

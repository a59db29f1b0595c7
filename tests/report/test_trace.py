"""The Chrome trace of a run."""

from hpcmtl.report.facts.values import AttemptFacts, GanttPiece, NotableEvent, RunOverview, RunSummary
from hpcmtl.report.trace import trace_events
from hpcmtl.results.curves.point import TrainingPoint

OVERVIEW = RunOverview(
    summary=RunSummary(
        job="j",
        attempts=(AttemptFacts(number=1, began=1000.0), AttemptFacts(number=2, began=5000.0, start=60.0)),
    ),
    planned=(GanttPiece(task="a", last_rank=1, ranks=2, end=3.0),),
    actual=(
        GanttPiece(task="a", layer=0, last_rank=1, ranks=2, start=0.5, end=2.0, outcome="ended"),
        GanttPiece(task="a", layer=1, first_rank=1, last_rank=1, start=61.0, end=62.0, outcome="running"),
    ),
    notable=(NotableEvent(at=61.5, attempt=2, event="rank_lost", task="a", text="rank 0 was lost"),),
    environment={"hosts": ["n1", "n2"]},
)


def test_layers_on_ranks():
    """Each layer is a rectangle on each of its ranks, planned and actual apart, in microseconds; ranks have hosts."""
    events = trace_events(OVERVIEW, {})
    layers = [(e["pid"], e["tid"], e["name"], e["ts"], e["dur"]) for e in events if e["ph"] == "X"]
    names = {(e["pid"], e["tid"]): e["args"]["name"] for e in events if e["name"] == "thread_name"}

    assert layers == [
        (1, 0, "a 0", 0.5e6, 1.5e6),
        (1, 1, "a 0", 0.5e6, 1.5e6),
        (1, 1, "a 1", 61e6, 1e6),
        (2, 0, "a", 0.0, 3e6),
        (2, 1, "a", 0.0, 3e6),
    ]
    assert names == {(pid, rank): f"rank {rank} on n{rank + 1}" for pid in (1, 2) for rank in (0, 1)}


def test_curves_and_notable_events():
    """Losses are counters on the axis of the run, which has no breaks between attempts; losses of ranks are marks."""
    points = [
        TrainingPoint(step=1, at=1002.0, losses={"loss": 0.5}),
        TrainingPoint(step=2, at=5001.5, losses={"loss": 0.25}, samples_per_second=80.0),
        TrainingPoint(step=2, at=5001.5, ends_epoch=True, losses={"loss": 0.4}),
    ]
    events = trace_events(OVERVIEW, {"a": points})

    assert [(e["name"], e["ts"], e["args"]) for e in events if e["ph"] == "C"] == [
        ("a: loss", 2e6, {"loss": 0.5}),
        ("a: loss", 61.5e6, {"loss": 0.25}),
        ("a: samples/s", 61.5e6, {"samples/s": 80.0}),
    ]
    (mark,) = [e for e in events if e["ph"] == "i"]
    assert (mark["name"], mark["ts"], mark["args"]["text"]) == ("rank_lost", 61.5e6, "rank 0 was lost")

"""Facts of runs from their directories."""

import pytest
from written_runs import planned, two_tasks, write_job, write_ledger, write_plan

from hpcmtl.errors import InputError
from hpcmtl.report.facts.read import read_overview
from hpcmtl.report.facts.values import GraphEdge
from hpcmtl.results.events import (
    CheckpointWritten,
    JobEnded,
    JobStarted,
    JobStopping,
    LayerEnded,
    LayerRestarted,
    LayerStarted,
    LayerStopped,
    RankLost,
    TaskEnded,
    TaskRetried,
    WorldShrunk,
)
from hpcmtl.results.rundir.directory import RunDirectory


def started(task, layer=0, first_rank=0, ranks=1):
    """The start of a layer of two."""
    return LayerStarted(task=task, layer=layer, layers=2, first_rank=first_rank, ranks=ranks)


def test_a_complete_run(tmp_path):
    """Summary, pieces and edges are those that were written."""
    facts = read_overview(two_tasks(tmp_path / "run"))
    pieces = [(p.task, p.first_rank, p.last_rank, p.start, p.end, p.outcome) for p in facts.actual]

    assert (facts.summary.job, facts.summary.status, facts.summary.complete) == ("family", "complete", 2)
    assert (facts.summary.seconds, facts.summary.rank_seconds, facts.summary.ranks) == (10, 8, 2)
    assert pieces == [("a", 0, 1, 1, 4, "ended"), ("b", 1, 1, 5, 8, "ended")]
    assert [(p.task, p.first_rank, p.last_rank, p.start, p.end) for p in facts.planned] == [
        ("a", 0, 1, 0, 4),
        ("b", 1, 1, 4, 6),
    ]
    assert facts.edges == (GraphEdge(producer="a", consumer="b", kind="order"),)
    assert facts.tasks[1].metrics == {"loss": 0.5}
    assert facts.plan is not None
    assert (facts.plan.gap, facts.plan.critical) == (0.25, {"a", "b"})


def test_parts_of_the_time(tmp_path):
    """The parts of the rank-seconds are those of the layers, and add up to ranks times seconds."""
    time = read_overview(two_tasks(tmp_path / "run")).time

    # Layer a: 2 ranks for 20 steps of 0.1 s, a quarter of it waits; layer b: 10 steps on 1 rank. Busy: 2 * 3 + 3.
    assert time.total == pytest.approx(20)
    assert (time.train, time.wait, time.other, time.idle) == pytest.approx((4.0, 1.0, 4.0, 11.0))
    assert time.communicate is None
    assert (time.bytes_from_files, time.bytes_from_memory) == (8, None)
    assert time.utilisation == pytest.approx(0.45)


def test_breaks_between_attempts_are_left_out(tmp_path):
    """A run that was resumed twice goes on where the attempt before it ended, hours later or not."""
    run = RunDirectory(tmp_path)
    entries = []
    for number, at in enumerate((0, 5000, 90000)):
        last = number == 2
        entries += [
            (at, JobStarted(job="family", ranks=2, attempt=number + 1)),
            (at + 1, started("a")),
            (at + 3, (LayerEnded if last else LayerStopped)(task="a", layer=0, ranks=1, seconds=2.0)),
            (at + 4, JobEnded(status="complete" if last else "stopped", attempt=number + 1)),
        ]
    write_ledger(run, entries)
    facts = read_overview(run)

    assert [(p.start, p.end, p.outcome) for p in facts.actual] == [
        (1, 3, "stopped"),
        (5, 7, "stopped"),
        (9, 11, "ended"),
    ]
    assert [(a.number, a.status, a.start, a.seconds) for a in facts.summary.attempts] == [
        (1, "stopped", 0, 4),
        (2, "stopped", 4, 4),
        (3, "complete", 8, 4),
    ]
    assert facts.time.total == 24


def test_lost_ranks_and_retries(tmp_path):
    """A lost rank ends the piece of its layer, lives no more, and is told; the numbers of the other ranks stay."""
    run = RunDirectory(tmp_path)
    entries = [
        (0, JobStarted(job="family", ranks=3, attempt=1)),
        (1, started("a", first_rank=0, ranks=3)),
        (2, CheckpointWritten(task="a", step=4, held=0.5, bytes=100)),
        (4, RankLost(rank=1, host="n2", task="a", layer=0, step=7)),
        (4, WorldShrunk(ranks=2, members=(0, 2))),
        (4, LayerRestarted(task="a", layer=0, lost=(1,))),
        (5, started("a", first_rank=0, ranks=2)),
        (6, TaskRetried(task="a", retry=1, retries=1, message="boom")),
        (7, started("a", first_rank=2)),
        (8, TaskEnded(task="a", status="failed", message="boom again")),
        (9, JobEnded(status="failed", attempt=1)),
    ]
    write_ledger(run, entries)
    facts = read_overview(run)

    assert [(p.first_rank, p.last_rank, p.end, p.outcome) for p in facts.actual] == [
        (0, 2, 4, "lost"),
        (0, 2, 6, "lost"),
        (2, 2, 8, "lost"),
    ]
    assert facts.time.total == 3 * 4 + 2 * 5
    assert facts.time.checkpoint_bytes == 100
    texts = [(each.event, each.task) for each in facts.notable]
    assert texts == [
        ("rank_lost", "a"),
        ("world_shrunk", ""),
        ("layer_restarted", "a"),
        ("task_retried", "a"),
        ("task_ended", "a"),
    ]
    assert "rank 1 on n2 died, in layer 1, step 7" in facts.notable[0].text
    assert (facts.tasks[0].status, facts.tasks[0].message) == ("failed", "boom again")


def test_a_running_run(tmp_path):
    """A layer that runs lasts until the last event, and the run has no end."""
    run = RunDirectory(tmp_path)
    write_ledger(run, [(0, JobStarted(job="j", ranks=1)), (1, started("a")), (3, JobStopping(reason="SIGTERM"))])
    facts = read_overview(run)

    assert facts.summary.status == "stopping"
    assert [(p.start, p.end, p.outcome) for p in facts.actual] == [(1, 3, "running")]
    assert facts.notable[0].text == "the job stops: SIGTERM"


def test_a_run_that_has_not_begun(tmp_path):
    """A plan alone gives the tasks and what is planned for them."""
    run = RunDirectory(tmp_path)
    write_job(run, {"a": []})
    write_plan(run, [planned("a", 0, 2)], ranks=4)
    facts = read_overview(run)

    assert (facts.summary.status, facts.summary.ranks, facts.summary.attempts) == ("preparing", 4, ())
    assert [(task.name, task.kind, task.status) for task in facts.tasks] == [("a", "train", "waiting")]
    assert (facts.time.total, facts.time.utilisation, facts.actual) == (0, 0, ())


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("plan.json", "{"),
        ("plan.json", '{"policy": "variable"}'),
        ("plan.json", "[]"),
        ("job.yaml", "tasks: ["),
        ("job.yaml", "tasks: 3"),
        ("job.yaml", "tasks: {a: {needs: [b]}}"),
        ("events.jsonl", "no event\n{}\n"),
        ("environment.json", "no object"),
    ],
)
def test_damaged_files_are_refused(tmp_path, file, text):
    """A damaged file of a run is an error that names it."""
    run = two_tasks(tmp_path / "run")
    (run.path / file).write_text(text)

    with pytest.raises(InputError, match=file):
        read_overview(run)


def test_no_run_directory(tmp_path):
    """A folder without ledger and plan is no run."""
    with pytest.raises(InputError, match="no run directory"):
        read_overview(RunDirectory(tmp_path))

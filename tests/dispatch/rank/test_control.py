"""Control threads, workers and the dispatcher together, on ranks that are threads, with sessions that only talk."""

import threading

import pytest
from simulation import graph_of
from thread_job import Job, Talker, diamond, nothing

from hpcmtl.communicators.inproc import RankFailedError
from hpcmtl.dispatch.coordinator import dispatcher as dispatcher_module
from hpcmtl.results.rundir.requests import new_request, read_answer, submit
from hpcmtl.results.step_progress import StepProgress

# The threads of a world that is aborted end with the error that says so; under MPI the process is gone by then.
pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]


@pytest.mark.parametrize(("ranks", "policy"), [(1, "variable"), (2, "variable"), (4, "variable"), (4, "waves")])
def test_hundreds_of_layers(ranks, policy):
    """Every layer of every task runs once on every rank of its group, and every session that was opened is closed."""
    job = Job(graph_of(*diamond(40, 6)), ranks, nothing, policy)
    statuses = job.run()
    expected = sorted(
        (event["task"], event["layer"], event["first_rank"] + i)
        for name, event in job.events
        if name == "layer_started"
        for i in range(event["ranks"])
    )

    assert set(statuses.values()) == {"complete"}
    assert len({(task, layer) for task, layer, _ in job.calls}) == 240
    assert sorted(job.calls) == expected
    assert {(task, rank) for task, _, rank in job.calls} == set(job.closed)


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_an_error_on_all_members_fails_the_task_alone(ranks):
    """A task that raises on all its ranks fails, what needs it is skipped, and everything else completes."""

    def run_layer(session, layer):
        if session.task == "bad" and layer == 1:
            raise ZeroDivisionError("boom")

    tasks = {"bad": (3, ranks), "after": (1, 1), "good": (4, 1), "last": (1, ranks)}
    job = Job(graph_of(tasks, [("bad", "after"), ("good", "last")]), ranks, run_layer)
    statuses = job.run()
    messages = {fields["task"]: fields["message"] for event, fields in job.events if event == "task_ended"}

    assert statuses == {"bad": "failed", "after": "skipped", "good": "complete", "last": "complete"}
    assert messages["bad"].startswith(f"ZeroDivisionError: boom ({__file__}:")
    assert messages["after"] == "needs bad, which failed"
    assert {rank for task, rank in job.closed if task == "bad"} == set(range(ranks))


@pytest.mark.parametrize("lone", [0, 1, 3])
def test_an_error_on_one_rank_ends_the_run(monkeypatch, lone):
    """Where the others of the group wait for the one that raised the world is aborted, whichever rank it was."""
    monkeypatch.setattr(dispatcher_module, "GRACE_SECONDS", 0.2)

    def run_layer(session, layer):
        if session.world.rank == lone and layer == 1:
            raise ZeroDivisionError("boom")
        session.group.barrier()

    job = Job(graph_of({"a": (3, 4)}), 4, run_layer)

    with pytest.raises(RankFailedError, match=r"abort\(1\) was called"):
        job.run()
    first = next(fields for event, fields in job.events if event == "rank_failed")

    assert first["rank"] == lone
    assert first["message"].startswith(f"ZeroDivisionError: boom ({__file__}:")


def test_an_error_that_comes_out_again_at_the_close():
    """A session that failed may fail once more when it is closed; its ranks go on with the next task."""

    class Broken(Talker):
        def close(self):
            super().close()
            if self.task == "bad":
                raise ArithmeticError("boom, again")

    def run_layer(session, layer):
        if session.task == "bad":
            raise ArithmeticError("boom")

    job = Job(graph_of({"bad": (3, 2), "good": (2, 2)}), 2, run_layer, session=Broken)

    assert job.run() == {"bad": "failed", "good": "complete"}


def test_an_error_at_the_close_of_a_sound_session():
    """A task whose session cannot be closed after its last layer has failed, whatever it did before."""

    class Broken(Talker):
        def close(self):
            super().close()
            raise ArithmeticError("boom")

    job = Job(graph_of({"a": (2, 2)}), 2, nothing, session=Broken)

    assert job.run() == {"a": "failed"}


def test_errors_that_bring_a_traceback_are_told_by_their_last_line():
    """MXNet's own errors are texts of many lines; people get the one with the cause."""

    def run_layer(session, layer):
        raise RuntimeError("Traceback (most recent call last):\n  File here\nMXNetError: shapes differ\n\n")

    job = Job(graph_of({"a": (1, 1)}), 1, run_layer)
    job.run()

    (message,) = [f["message"] for e, f in job.events if e == "task_ended"]
    assert message.startswith(f"RuntimeError: MXNetError: shapes differ ({__file__}:")


def test_an_error_between_layers_ends_the_run():
    """An error outside any layer, here in the observer on the dispatcher's thread, leaves no rank waiting."""
    job = Job(graph_of({"a": (3, 2)}), 2, nothing)

    def record(event):
        if event.name == "layer_ended":
            raise OSError(28, "No space left on device")

    job.record = record

    with pytest.raises(RankFailedError):
        job.run()


@pytest.mark.parametrize("rank", [0, 2])
def test_a_signal_on_any_rank_stops_all(rank):
    """A signal that any rank gets stops the running layers, and starts no other; the rest of the job is left open."""

    def run_layer(session, layer):
        if session.task != "long":
            return False
        if session.world.rank == rank:
            session.channels.signal = "SIGTERM"
            session.channels.wake.set()
        return session.channels.stop_requested.wait(30)

    job = Job(
        graph_of({"short": (1, 3), "long": (5, 3), "after": (1, 1)}, [("short", "long"), ("long", "after")]),
        3,
        run_layer,
    )
    statuses = job.run()

    assert statuses == {"short": "complete", "long": None, "after": None}
    assert [fields for event, fields in job.events if event == "job_stopping"] == [
        {"reason": f"rank {rank} got SIGTERM"}
    ]
    assert [fields["layer"] for event, fields in job.events if event == "layer_stopped"] == [0]
    assert sorted(job.closed) == [("long", 0), ("long", 1), ("long", 2), ("short", 0), ("short", 1), ("short", 2)]


def test_independent_tasks_run_at_the_same_time():
    """Two tasks on halves of the ranks meet inside their layers, which they can only if both run."""
    parameter_exchange = threading.Barrier(4)
    job = Job(graph_of({"a": (3, 2), "b": (3, 2)}), 4, lambda session, layer: parameter_exchange.wait(30) and None)

    assert set(job.run().values()) == {"complete"}


def test_progress_arrives_before_the_end_of_its_layer():
    """A report of a group's first rank inside a layer reaches the observer, in order."""

    def run_layer(session, layer):
        if session.group.rank == 0:
            for step in range(3):
                session.channels.progress(StepProgress(session.task, layer, 0, None, 1.0, step / 3))

    job = Job(graph_of({"a": (4, 2), "b": (4, 1)}), 3, run_layer)
    job.run()
    told = [(progress.layer, progress.fraction) for progress in job.progresses if progress.task == "a"]

    assert told == [(layer, step / 3) for layer in range(4) for step in range(3)]


def test_requests_reach_the_layer_that_runs(tmp_path):
    """Orders for one layer reach all its ranks and no later layer; every request has its answer."""
    requests = [new_request(*words) for words in (("set", "a", {"learning_rate": 0.5}), ("pause", "a"), ("add",))]
    later = [new_request("unpause", "a"), new_request("cancel", "b")]
    heard = []

    def run_layer(session, layer):
        if session.task == "a" and not heard:
            if session.world.rank == 0:
                for request in requests:
                    submit(tmp_path, request)
            orders = session.channels.layer
            stopped = orders.stop.wait(30)
            session.group.barrier()
            heard.append(orders.numbered(orders.newest).learning_rate)
            session.group.barrier()
            return stopped
        if session.task == "b":
            for request in later if session.world.rank == 0 else ():
                submit(tmp_path, request)
            return session.channels.layer.stop.wait(30)
        assert not session.channels.should_stop()
        assert session.channels.layer.rate.learning_rate == 0.5
        return False

    job = Job(graph_of({"a": (3, 2), "b": (2, 2)}), 2, run_layer, "sequential")
    job.requests = tmp_path
    statuses = job.run()
    answers = [read_answer(tmp_path, request) for request in requests + later]

    assert statuses == {"a": "complete", "b": "cancelled"}
    assert heard == [0.5, 0.5]
    assert [answer.accepted for answer in answers] == [True, True, False, True, True]
    assert "not here" in answers[2].message
    assert [fields["verb"] for event, fields in job.events if event == "request_refused"] == ["add"]

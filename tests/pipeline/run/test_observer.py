"""Everything that happens in a run is in the ledger, and is passed to the sinks."""

import json
import sys

import pytest
from events import EXAMPLES, event
from plans import SMALL_PLAN

from hpcmtl.pipeline.run.observer import RunObserver, open_observer
from hpcmtl.results import ledger
from hpcmtl.results.run_state import RunState
from hpcmtl.results.rundir.directory import create
from hpcmtl.results.sinks.base import IgnoringSink
from hpcmtl.results.sinks.ledger_writer import LedgerWriter
from hpcmtl.results.sinks.terminal import Terminal, open_display
from hpcmtl.results.step_progress import StepProgress

HOSTS = ["a", "a", "b", "b"]


class Failing(IgnoringSink):
    """A sink that cannot take events."""

    closed = 0

    def on_event(self, event, at):
        raise RuntimeError("no more paper")

    def close(self):
        self.closed += 1


class Listing(IgnoringSink):
    """A sink that keeps the names of events."""

    def __init__(self):
        self.names = []

    def on_event(self, event, at):
        self.names.append(event.name)


@pytest.mark.parametrize("mode", ["plain", "live", "quiet"])
def test_events(tmp_path, capfd, caplog, mode):
    """Every event is in the ledger, in order; people see the ends of tasks and warnings; the status file is written."""
    directory = create(tmp_path, "job")
    with open_observer(directory, SMALL_PLAN, HOSTS, 5.0, [Terminal(open_display(mode, sys.stderr, 100))]) as observer:
        for each in EXAMPLES:
            observer.record(each)
        observer.progressed(StepProgress("a", 0, 0, 1.0, 10.0, 0.5))
    said = capfd.readouterr()
    status = json.loads(directory.status_file.read_text(encoding="utf-8"))

    assert [entry.event for entry in ledger.read_events(directory.ledger_file)] == list(EXAMPLES)
    assert said.out == ""
    assert ("a failed" in said.err) == ("b skipped: needs a, which failed" in said.err) == (mode != "quiet")
    assert "no report for long from ranks 1, 2" in caplog.text
    assert (status["status"], status["suspect_after"]) == ("failed", 30.0)
    assert (observer.state.status, observer.state.tasks["a"].message) == ("failed", "boom")


def test_a_sink_that_fails_is_left_out(tmp_path, caplog):
    """Its error is in the log once, it is closed, and the ledger and the other sinks get everything."""
    failing, listing = Failing(), Listing()
    with RunObserver(LedgerWriter(tmp_path / "ledger"), [failing, listing], RunState()) as observer:
        observer.record(event("job_started", job="j", ranks=1))
        observer.record(event("job_ended", status="complete"))

    assert listing.names == ["job_started", "job_ended"]
    assert len(ledger.read(tmp_path / "ledger")) == 2
    assert caplog.text.count("Failing failed at job_started and is left out from now on") == 1
    assert failing.closed == 1


def test_an_error_of_the_ledger_ends_the_run():
    """An event that cannot be written to the ledger has not happened for any sink."""
    listing = Listing()
    with pytest.raises(RuntimeError, match="no more paper"), RunObserver(Failing(), [listing], RunState()) as observer:
        observer.record(event("job_started", job="j", ranks=1))

    assert listing.names == []

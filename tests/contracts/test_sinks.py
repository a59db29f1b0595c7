"""All sinks keep the contract."""

import io

import pytest
import sink_suite
from plans import SMALL_PLAN

from hpcmtl.results.rundir.directory import RunDirectory
from hpcmtl.results.sinks.base import IgnoringSink
from hpcmtl.results.sinks.curve_writer import CurveWriter
from hpcmtl.results.sinks.ledger_writer import LedgerWriter
from hpcmtl.results.sinks.log_warnings import LogWarnings
from hpcmtl.results.sinks.open_metrics import OpenMetricsFile
from hpcmtl.results.sinks.status_file import StatusFile
from hpcmtl.results.sinks.tensorboard import TensorBoardFiles
from hpcmtl.results.sinks.terminal import Terminal, open_display

TIMING = {"seconds_between_heartbeats": 5.0, "suspect_after": 30.0}
SINKS = {
    "base": lambda _folder: IgnoringSink(),
    "ledger": lambda folder: LedgerWriter(folder / "events.jsonl"),
    "curves": lambda folder: CurveWriter(RunDirectory(folder)),
    "tensorboard": lambda folder: TensorBoardFiles(RunDirectory(folder)),
    "openmetrics": lambda folder: OpenMetricsFile(folder / "metrics.prom", "job"),
    "log": lambda _folder: LogWarnings(),
    "status file": lambda folder: StatusFile(folder / "status.json", SMALL_PLAN, ["a", "a", "b", "b"], TIMING),
    "plain": lambda _folder: Terminal(open_display("plain", io.StringIO())),
    "live": lambda _folder: Terminal(open_display("live", io.StringIO(), 80)),
    "quiet": lambda _folder: Terminal(open_display("quiet", io.StringIO())),
}


@pytest.mark.parametrize("check", sink_suite.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", SINKS)
def test_sinks(tmp_path, name, check):
    """A sink takes whatever may come, in any order, and closes."""
    check(SINKS[name](tmp_path))

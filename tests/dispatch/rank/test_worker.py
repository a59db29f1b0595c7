"""The main thread of a rank: the sessions that it keeps for tasks that come back."""

import logging
import traceback

import pytest

from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.dispatch.protocol import EndOfJob, LayerFailed, Release, RunLayer
from hpcmtl.dispatch.rank.channels import ThreadChannels
from hpcmtl.dispatch.rank.worker import PARKED, Worker
from hpcmtl.errors import InputError, Problem
from hpcmtl.training.session import LayerOutcome


class Movable:
    """A session that can go on in another group."""

    def run_layer(self, layer):
        """See `Session`."""
        return LayerOutcome(1, 1, 0.0, 0.0, reached=layer + 1)

    def close(self):
        """See `Session`."""

    def rebinder(self):
        """See `Session`."""
        return lambda group, step: None


def opened(tasks):
    """Returns the tasks whose sessions were opened, in order, if each gives its rank to the next after one layer."""

    def on_rank(world):
        channels, found = ThreadChannels(), []
        for number, task in enumerate(tasks, 1):
            channels.commands.put(RunLayer(task=task, layer=0, layers=9, group=(0,), step=number, start_number=number))
            channels.commands.put(Release(task))
        channels.commands.put(EndOfJob())
        Worker(world, channels, lambda command, group, states: found.append(command.task) or Movable()).run()
        return found

    return run_ranks(1, on_rank)[0]


def test_sessions_of_the_last_tasks_are_kept():
    """A rank keeps as many sessions as it may, and opens that of the task which left it first again."""
    first, *others = names = [f"t{i}" for i in range(PARKED + 1)]

    assert opened([*names, *others]) == names
    assert opened([*names, *others, first]) == [*names, first]


class Failing(Movable):
    """A session whose layer fails in the code of a user, three calls deep."""

    def __init__(self, error):
        self._error = error

    def run_layer(self, layer):
        """See `Session`."""
        self._first()

    def _first(self):
        self._second()

    def _second(self):
        raise self._error


@pytest.mark.parametrize(
    ("error", "said", "level"),
    [
        (ValueError("boom"), "ValueError: boom", logging.ERROR),
        (InputError([Problem("x.h5", "is not sealed")]), "x.h5: is not sealed", logging.DEBUG),
    ],
)
def test_a_failure_names_the_place_that_raised_it(caplog, error, said, level):
    """The report has the last line of the user's code; the log of the rank has the way there."""

    def on_rank(world):
        channels = ThreadChannels()
        channels.commands.put(RunLayer(task="a", layer=0, layers=1, group=(0,), step=0, start_number=1))
        channels.commands.put(EndOfJob())
        Worker(world, channels, lambda *_: Failing(error)).run()
        return [report.message for report in channels.take_reports() if isinstance(report, LayerFailed)]

    with caplog.at_level(logging.DEBUG, "hpcmtl"):
        (messages,) = run_ranks(1, on_rank)
    line = traceback.extract_tb(error.__traceback__)[-1].lineno
    (record,) = [record for record in caplog.records if "failed in task a, layer 0" in record.getMessage()]

    assert messages == [f"{said} ({__file__}:{line})"]
    assert record.levelno == level
    assert "in _second" in caplog.text

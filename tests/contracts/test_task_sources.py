"""The contract suite of task sources: the one of ``hpcmtl add``, and one that adds a task after another has ended."""

from types import SimpleNamespace

import pytest
from task_source_suite import CHECKS
from task_sources import Successor

from hpcmtl.dispatch.coordinator.task_source import ExtendedJob
from hpcmtl.dispatch.protocol import ExtendJob
from hpcmtl.dispatch.requests.additions import AddedTasks
from hpcmtl.results.events import TaskEnded
from hpcmtl.results.rundir.requests import Request


def extended(*tasks):
    """A job of some tasks, as far as sources look at it."""
    job = SimpleNamespace(tasks=dict.fromkeys(tasks))
    return ExtendedJob(plan=None, graph=None, extension=ExtendJob(job=job, files={}, arrays={}, folder=""))


class Examiner:
    """A `JobExaminer` that finds all tasks sound."""

    def examine(self, request):
        """See `JobExaminer`."""
        return extended("first", *request.values["tasks"])

    def accept(self, job):
        """See `JobExaminer`."""


def added():
    """The source of ``hpcmtl add`` with one request."""
    source = AddedTasks(Examiner(), lambda request, answer: None)
    source.add(Request("1", "add", "me@here", values={"tasks": {"then": {}}}))
    return source


def successor():
    """A source whose first task has ended."""
    source = Successor("first", "then", lambda then: extended("first", then))
    source.on_event(TaskEnded(task="first", status="complete", message=""))
    return source


@pytest.mark.parametrize("make", [added, successor])
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(check, make):
    """Each check of the suite, over each source."""
    check(make)

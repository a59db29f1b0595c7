"""The main thread of a rank: the sessions that it keeps for tasks that come back."""

from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.dispatch.protocol import EndOfJob, Release, RunLayer
from hpcmtl.dispatch.rank.channels import ThreadChannels
from hpcmtl.dispatch.rank.worker import PARKED, Worker
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

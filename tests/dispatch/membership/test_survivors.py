"""A loss changes nothing that names living members, and commands that were lost on the way come again, once each."""

import threading

from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.communicators.polling import next_message
from hpcmtl.dispatch.membership.survivors import after_loss
from hpcmtl.dispatch.membership.world import World
from hpcmtl.dispatch.protocol import Abandon, Release, RunLayer
from hpcmtl.dispatch.transport.stream import CommandReceiver, CommandSender


def test_commands_that_were_not_executed():
    """A layer cannot begin any more, any other command stays as it is."""
    command = RunLayer(task="a", layer=1, layers=2, group=(3, 4), start_number=7)

    assert after_loss(command) == Abandon(7)
    assert after_loss(Release("a")) == Release("a")


@given(st.lists(st.lists(st.sampled_from([1, 2, 3]), min_size=1, unique=True), max_size=20), st.data())
def test_lost_commands_come_again(blocks, data):
    """Whatever suffix of each rank's messages is lost, the ranks that live execute every command once, in order."""
    survivors = (0, *sorted(data.draw(st.sets(st.sampled_from([1, 2, 3])))))
    heard = {rank: data.draw(st.integers(0, sum(rank in block for block in blocks))) for rank in (1, 2, 3)}
    over, left, never = threading.Barrier(4), threading.Barrier(len(survivors)), threading.Event()

    def rank(comm):
        mine, receiver = [], CommandReceiver(comm)
        if comm.rank == 0:
            sender = CommandSender(comm, never)
            for number, block in enumerate(blocks):
                sender.post(number, sorted(block))
        while comm.rank and receiver.executed < heard[comm.rank]:
            receiver.take(next_message(comm, never, 10), mine.append)
        over.wait(30)
        if comm.rank not in survivors:
            comm.die()
        comm.revoke()
        left.wait(30)
        smaller, alive = comm.shrink()
        world = World.first(4).shrunk(alive)
        receiver.move(smaller)
        executed = smaller.gather(receiver.executed)
        if smaller.rank == 0:
            sender.move(smaller, world, dict(zip(world.members, executed, strict=True)), lambda value: value)
            sender.post(-1, world.members[1:], acknowledge=True)
            while not sender.all_executed():
                never.wait(0.001)
        while smaller.rank and -1 not in mine:
            receiver.take(next_message(smaller, never, 10), mine.append)
        return mine

    found = run_ranks(4, rank)

    for number, member in enumerate(survivors):
        expected = [value for value, block in enumerate(blocks) if member in block]
        assert member == 0 or found[number] == [*expected, -1]

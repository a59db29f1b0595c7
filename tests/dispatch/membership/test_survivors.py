"""Ranks are numbered anew in the old order, and commands that were lost on the way are given again, once each."""

import threading

from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.dispatch.membership.survivors import intact_block, renumbered, surviving_block
from hpcmtl.dispatch.protocol import Abandon, Release, RunLayer
from hpcmtl.dispatch.transport.stream import CommandReceiver, CommandSender


@given(st.sets(st.integers(0, 30), min_size=1), st.integers(0, 30), st.integers(0, 12))
def test_blocks_of_survivors(alive, start, width):
    """What is left of a block is contiguous and has its living ranks in order; it is kept only if all live."""
    survivors, block = tuple(sorted(alive)), range(start, start + width)
    left = surviving_block(block, survivors)

    assert [survivors[rank] for rank in left] == [rank for rank in block if rank in alive]
    assert intact_block(block, survivors) == (left if set(block) <= alive else None)
    assert intact_block(None, survivors) is None


def test_commands_that_were_not_obeyed():
    """A layer cannot begin any more, anything else is as it was."""
    assert renumbered(RunLayer("a", 1, 2, 3, 4, number=7)) == Abandon(7)
    assert renumbered(Release("a")) == Release("a")


@given(st.lists(st.lists(st.sampled_from([1, 2, 3]), min_size=1, unique=True), max_size=20), st.data())
def test_lost_commands_come_again(blocks, data):
    """Whatever suffix of each rank's messages is lost, the ranks that live obey every command once, in order."""
    survivors = (0, *sorted(data.draw(st.sets(st.sampled_from([1, 2, 3])))))
    heard = {rank: data.draw(st.integers(0, sum(rank in block for block in blocks))) for rank in (1, 2, 3)}
    over, left = threading.Barrier(4), threading.Barrier(len(survivors))

    def rank(comm):
        mine, never = [], threading.Event()
        receiver = CommandReceiver(comm)
        if comm.rank == 0:
            sender = CommandSender(comm, never)
            for number, block in enumerate(blocks):
                sender.post(number, sorted(block))
        while comm.rank and receiver.done < heard[comm.rank]:
            receiver.obey(mine.append, never, 10)
        over.wait(30)
        if comm.rank not in survivors:
            comm.die()
        comm.revoke()
        left.wait(30)
        smaller, alive = comm.shrink()
        receiver.move(smaller)
        done = smaller.gather(receiver.done)
        if smaller.rank == 0:
            sender.move(smaller, alive, done, lambda value: value)
            sender.call(-1, range(1, smaller.size))
            assert sender.all_done()
        while smaller.rank and -1 not in mine:
            receiver.obey(mine.append, never, 10)
        return mine

    found = run_ranks(4, rank)

    for number, old in enumerate(survivors):
        expected = [value for value, block in enumerate(blocks) if old in block]
        assert old == 0 or found[number][: len(expected)] == expected

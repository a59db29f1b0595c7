"""Artifacts from memory to memory over a real communicator: checks that are called on all of its ranks.

As a program, on the ranks of an mpirun, this file runs all of them over MPI; `exchange/test_peer_transfer.py` runs them
over threads as well.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.communicators.outcome import abort_on_error
from hpcmtl.communicators.polling import next_message
from hpcmtl.exchange.artifact_cache import ArtifactCache
from hpcmtl.exchange.peer_transfer import ArrayLocation, ArtifactIndex, PeerTransfer
from hpcmtl.exchange.redistribute import ArrayRows, Block, dealt

if TYPE_CHECKING:
    from types import TracebackType

    from hpcmtl.communicators.base import Communicator

ROWS = 100_003
WHOLE = np.arange(3 * ROWS).reshape(ROWS, 3)


def pieces(start: int, stop: int) -> dict[str, ArrayRows]:
    """Returns the rows that a rank made of the array x."""
    return {"x": ArrayRows(start, WHOLE[start:stop].copy())}


class Serving:
    """A rank whose control thread answers questions as long as the block lasts on any rank."""

    def __init__(self, world: Communicator, limit: int = 1 << 30) -> None:
        self._world = world
        self._control, self._answers = world.dup(), world.dup()
        self.peer_transfer = PeerTransfer(self._control, self._answers, ArtifactCache(limit))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> PeerTransfer:
        self._thread.start()
        return self.peer_transfer

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._world.barrier()
            self._stop.set()
            self._thread.join()
            self._control.free()
            self._answers.free()

    def _serve(self) -> None:
        sending = []
        while not self._stop.is_set():
            message = next_message(self._control, self._stop, 0.01)
            if message is not None:
                sending += self.peer_transfer.serve(message.source, message.value)
            sending = [handle for handle in sending if not handle.test()]
        for handle in sending:
            handle.wait()


def publish(world: Communicator, peer_transfer: PeerTransfer, task: str = "a") -> None:
    """All ranks keep their share of the array x, and the last of them answers for it."""
    blocks = dealt(range(world.size), ROWS)
    mine = blocks[world.rank]
    peer_transfer.keep(task, 0, pieces(mine.start, mine.stop))
    if world.rank == world.size - 1:
        peer_transfer.publish(ArtifactIndex(task, {"x": ArrayLocation("x", WHOLE.dtype.str, WHOLE.shape, blocks)}))
    world.barrier()


def check_all_want_all_at_once(world: Communicator) -> None:
    """Every rank gets every row, several times over, as the ranks please."""
    with Serving(world) as peer_transfer:
        publish(world, peer_transfer)
        for _ in range(1 + world.rank % 3):
            index = peer_transfer.index("a", world.size - 1)
            assert index is not None
            found = peer_transfer.fetch(index, {"x": [(0, ROWS)]})
            assert found is not None
            assert np.array_equal(found["x"], WHOLE)


def check_spans(world: Communicator) -> None:
    """A rank gets the rows that it wants, wherever they lie, and no others."""
    with Serving(world) as peer_transfer:
        publish(world, peer_transfer)
        index = peer_transfer.index("a", world.size - 1)
        spans = [(7, 9), (1000, ROWS // 2 + 17), (ROWS - 1, ROWS)]
        found = peer_transfer.fetch(index, {"x": spans})
        for start, stop in spans:
            assert np.array_equal(found["x"][start:stop], WHOLE[start:stop])


def check_nobody_waits_for_a_main_thread(world: Communicator) -> None:
    """Rank 0 gets all rows while the main threads of the others wait for it."""
    with Serving(world) as peer_transfer:
        publish(world, peer_transfer)
        if world.rank == 0:
            found = peer_transfer.fetch(peer_transfer.index("a", world.size - 1), {"x": [(0, ROWS)]})
            assert np.array_equal(found["x"], WHOLE)
        world.bcast(None)


def check_what_is_not_in_memory(world: Communicator) -> None:
    """An unknown artifact has no index; one that a rank has dropped, or that is too large, is not given in part."""
    with Serving(world, limit=WHOLE.nbytes) as peer_transfer:
        publish(world, peer_transfer)
        assert peer_transfer.index("b", 0) is None
        index = peer_transfer.index("a", world.size - 1)
        world.barrier()
        if world.rank == world.size - 1:
            peer_transfer.keep("b", 0, pieces(0, ROWS))  # which leaves no room for the rows of a
        world.barrier()
        assert peer_transfer.fetch(index, {"x": [(0, ROWS)]}) is None
        if world.rank < world.size - 1:
            assert np.array_equal(peer_transfer.fetch(index, {"x": [(0, 5)]})["x"][:5], WHOLE[:5])
    with Serving(world, limit=WHOLE.nbytes - 1) as peer_transfer:
        publish(world, peer_transfer)
        assert peer_transfer.fetch(index, {"x": [(0, ROWS)]}) is None


def check_what_was_made_again_is_not_mixed_with_what_was_there(world: Communicator) -> None:
    """A rank that kept rows before they were made again, by other ranks, neither uses nor gives them."""
    with Serving(world) as peer_transfer:
        publish(world, peer_transfer)
        before = peer_transfer.index("a", world.size - 1)
        half = ROWS // 2
        if world.rank == 0:  # alone makes the second half again, and the last layer of the artifact was that
            peer_transfer.keep("a", 7, {"x": ArrayRows(half, -WHOLE[half:])})
            old = [Block(b.rank, b.start, min(b.stop, half)) for b in dealt(range(world.size), ROWS) if b.start < half]
            blocks = (*old, Block(0, half, ROWS, 7))
            peer_transfer.publish(ArtifactIndex("a", {"x": ArrayLocation("x", WHOLE.dtype.str, WHOLE.shape, blocks)}))
        world.barrier()
        again = peer_transfer.index("a", 0)
        found = peer_transfer.fetch(again, {"x": [(half, ROWS)]})
        assert np.array_equal(found["x"][half:], -WHOLE[half:])
        if world.size > 1:
            found = peer_transfer.fetch(again, {"x": [(0, half // world.size)]})
            assert found is None or np.array_equal(found["x"][: half // world.size], WHOLE[: half // world.size])
        first = peer_transfer.fetch(before, {"x": [(0, ROWS)]})
        assert first is None or np.array_equal(first["x"], WHOLE)


CHECKS = [value for name, value in list(globals().items()) if name.startswith("check_")]


def main() -> None:
    """Run all checks on this rank; the first that fails on any rank ends all of them."""
    from hpcmtl.communicators import mpi

    world = mpi.world()
    with abort_on_error(world):
        for check in CHECKS:
            if world.rank == 0:
                print(check.__name__, flush=True)
            check(world)
            world.barrier()
    if world.rank == 0:
        print(f"{len(CHECKS)} checks passed on {world.size} ranks")


if __name__ == "__main__":
    main()

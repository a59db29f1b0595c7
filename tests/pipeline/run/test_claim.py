"""Only one attempt at a run begins, and the other is told so on all of its ranks."""

import pytest

from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.errors import EnvironmentUnfitError
from hpcmtl.pipeline.run.claim import claimed


def test_a_second_attempt_is_refused_until_the_first_has_ended(tmp_path):
    """A claim holds for the block alone; the other attempt raises the same sentence on each rank, for exit code 3."""
    refused = []

    def other(world):
        with pytest.raises(EnvironmentUnfitError, match="another attempt at this run begins"), claimed(world, tmp_path):
            pass
        refused.append(world.rank)

    def first(world):
        with claimed(world, tmp_path):
            if world.rank == 0:
                run_ranks(2, other)
            world.barrier()
        with claimed(world, tmp_path), claimed(world, None):
            return world.rank

    assert run_ranks(2, first) == [0, 1]
    assert sorted(refused) == [0, 1]

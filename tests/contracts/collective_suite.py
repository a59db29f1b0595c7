"""Contract of a collective: one list of checks for all adapters, at any size of the group.

Each check is called on all ranks with a communicator and the name of a collective: by `test_collectives.py` on ranks
that are threads, with the collectives that need no MPI, and by the program `tests/mpi/check_collectives.py` with all.
"""

from __future__ import annotations

import random
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from own_blocks import mx

from hpcmtl.training.collectives.select import Choice, open_collective
from hpcmtl.training.gluon.framework import GluonFramework

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpcmtl.communicators.base import Communicator
    from hpcmtl.training.collectives.base import Collective


@contextmanager
def opened(name: str, group: Communicator) -> Iterator[Collective]:
    """Opens a collective on a group for as long as the block lasts."""
    collective = open_collective(Choice(name, "asked for by a test"), group, GluonFramework().collectives())
    try:
        yield collective
    finally:
        mx.nd.waitall()
        collective.close()


def arrays_for(collective: Collective, values: list[np.ndarray]) -> list:
    """Makes arrays of the kind that a collective takes; of both kinds for the one that takes any."""
    native = collective.takes == "native"
    return [mx.nd.array(value, dtype=value.dtype) if native else value.copy() for value in values]


def numpy_of(array) -> np.ndarray:
    """Returns the values of an array of either kind."""
    return array if isinstance(array, np.ndarray) else array.asnumpy()


def assert_same_bits(group: Communicator, arrays: dict[str, np.ndarray]) -> None:
    """Every rank holds the very same numbers."""
    for name, array in arrays.items():
        first = group.bcast(array)
        same = array.tobytes() == first.tobytes()
        assert all(group.allgather(same)), f"{name} differs between ranks: {group.allgather(array)}"


def check_mean(world: Communicator, name: str) -> None:
    """Arrays of both precisions, of any shapes and in one call, hold their mean over the group, equal on all ranks."""
    shapes = [(3, 4), (1,), (2, 3, 3, 3), (1000,), (3, 4)]
    kinds = ["float32", "float16", "float32", "float16", "float16"]
    generator = np.random.default_rng(5)
    # Drawn for every rank on every rank, so that each knows what the others hold.
    values = [
        [generator.normal(size=shape).astype(kind) for shape, kind in zip(shapes, kinds, strict=True)]
        for _ in range(world.size)
    ]
    with opened(name, world) as collective:
        arrays = arrays_for(collective, values[world.rank])
        collective.mean(arrays)
        made = [numpy_of(array) for array in arrays]

    for index, (array, kind) in enumerate(zip(made, kinds, strict=True)):
        mean = np.mean([value[index].astype(np.float64) for value in values], axis=0)
        assert array.dtype == kind
        np.testing.assert_allclose(array, mean, rtol=0, atol=1e-6 if kind == "float32" else 4e-3)
    assert_same_bits(world, {str(index): array for index, array in enumerate(made)})


def check_mean_of_large_halves(world: Communicator, name: str) -> None:
    """Shares are divided before the sum: float16 numbers near the largest there is do not overflow."""
    with opened(name, world) as collective:
        arrays = arrays_for(collective, [np.full((5,), 60000, dtype=np.float16)])
        collective.mean(arrays)
        made = numpy_of(arrays[0])

    np.testing.assert_allclose(made.astype(np.float64), 60000, rtol=2e-3)


def check_mean_again_and_again(world: Communicator, name: str) -> None:
    """Calls that follow each other, not waited for and on other arrays, are not mixed up."""
    with opened(name, world) as collective:
        values = [np.full((size,), world.rank + size, dtype=np.float32) for size in (1, 5, 300, 70000)]
        arrays = arrays_for(collective, values)
        for _ in range(10):
            for array in arrays:
                collective.mean([array])
        made = [numpy_of(array) for array in arrays]

    for array in made:
        np.testing.assert_allclose(array, (world.size - 1) / 2 + array.size, rtol=1e-6)


def check_mean_of_nothing(world: Communicator, name: str) -> None:
    """A call without arrays does nothing, and the next one works."""
    with opened(name, world) as collective:
        collective.mean([])
        arrays = arrays_for(collective, [np.full((2,), world.rank, dtype=np.float32)])
        collective.mean(arrays)
        made = numpy_of(arrays[0])

    np.testing.assert_allclose(made, (world.size - 1) / 2)


def check_broadcast(world: Communicator, name: str) -> None:
    """All ranks get the arrays of the first, bit for bit, in both precisions."""
    generator = np.random.default_rng(world.rank)
    values = [generator.normal(size=(7, 3)).astype(kind) for kind in ("float32", "float16")]
    with opened(name, world) as collective:
        arrays = arrays_for(collective, values)
        collective.broadcast(arrays)
        made = {str(array.dtype): array for array in map(numpy_of, arrays)}

    assert_same_bits(world, made)
    if world.rank == 0:
        assert all(np.array_equal(made[str(value.dtype)], value) for value in values)


def check_changing_groups(world: Communicator, name: str) -> None:
    """Collectives open and close on one group after the other, and each time the mean is over this group alone."""
    generator = random.Random(11)  # the same on all ranks: they draw the same groups
    for tag in range(12):
        members = sorted(generator.sample(range(world.size), generator.randint(1, world.size)))
        if world.rank not in members or (name == "local" and len(members) > 1):
            continue
        group = world.create_group(members, tag)
        with opened(name, group) as collective:
            arrays = arrays_for(collective, [np.full((size,), world.rank, np.float32) for size in (50, 4)])
            collective.mean(arrays[:1])
            collective.broadcast(arrays[1:])
            mean, first = (numpy_of(array) for array in arrays)
        group.free()

        np.testing.assert_allclose(mean, np.mean(members), rtol=1e-6)
        assert (first == members[0]).all()


CHECKS = [value for name, value in list(globals().items()) if name.startswith("check_")]

"""A published artifact is told apart from an earlier one of the same task."""

from __future__ import annotations

import numpy as np
import peer_transfer_suite

from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.training.artifacts.inputs import Inputs
from hpcmtl.training.artifacts.publish import publish_parameters
from hpcmtl.training.orders import LayerOrders


def test_parameters_that_are_made_again_are_not_mixed_with_the_old_ones(bench, task):
    """A task is made on two ranks and again on others: all ranks, those of the first group too, take the second."""
    made = bench({"digit": task(), "head": task(needs={"digit": "parameters"})})
    name = "parameters/w"

    def on_rank(world):
        with peer_transfer_suite.Serving(world) as peer_transfer:
            for number, members in ((3, [0, 1]), (5, [1, 2])):
                if world.rank in members:
                    group = world.create_group(members, tag=0)
                    orders = LayerOrders(1, start_number=number)
                    context = made.context(
                        "digit", group, peer_transfer=peer_transfer, orders=lambda orders=orders: orders
                    )
                    publish_parameters(context, {name: np.full(1000, float(number))})
                world.barrier()
            reader = Inputs(made.context("head", world, peer_transfer=peer_transfer, owners={"digit": 1}))
            return set(reader.parameters("digit")[name].tolist())

    assert run_ranks(3, on_rank) == [{5.0}] * 3

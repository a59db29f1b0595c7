"""Rank program: trains small networks on all ranks and on one, and prints as JSON what rank 0 finds.

It has no `assert`: the test runs it with PYTHONOPTIMIZE, and with an environment that asks Horovod for gloo.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from hpcmtl.communicators import mpi
from hpcmtl.communicators.outcome import abort_on_error
from hpcmtl.training.divergence import differing_arrays
from hpcmtl.training.streams import RandomStreams

HALF = 3


def main() -> None:
    """Run everything on one Horovod after the other."""
    world = mpi.world()
    sys.path.insert(0, str(Path(__file__).parents[1] / "contracts"))
    import gluon_suite
    import replica_suite as suite

    from hpcmtl.jobfile.tasks import Optimizer
    from hpcmtl.networks.models import Mlp

    sgld = Optimizer(name="mxnet.optimizer:SGLD", learning_rate=1e-4)
    dropping = Mlp(widths=(16,), outputs=3, dropout=0.5)
    horovod = gluon_suite.setup("horovod")

    def steps(replica, group, numbers):
        batches = suite.batches()
        for number in numbers:
            replica.step(suite.dealt(batches[number], group.rank, group.size), 1e-4, number)

    def trained(group, setup, model, optimizer, before=None):
        """The state after all steps, or that after the rest of them on a replica that takes over a state."""
        with suite.opened(setup, group, model, optimizer) as replica:
            replica.streams = RandomStreams(7, group.rank)
            if before is not None:
                replica.load_state(before)
            steps(replica, group, range(HALF if before is not None else 0, len(suite.BATCHES)))
            return replica.state()

    def half(group):
        with suite.opened(horovod, group, dropping) as replica:
            replica.streams = RandomStreams(7, group.rank)
            steps(replica, group, range(HALF))
            return replica.state()

    found = {}
    with abort_on_error(world):
        group = world.dup()
        noisy = trained(group, horovod, suite.MLP, sgld)
        found["parted"] = sorted(differing_arrays(noisy, group))
        whole = trained(group, horovod, dropping, None)
        resumed = trained(group, horovod, dropping, None, half(group))
        found["resumed"] = all(np.array_equal(whole[name], resumed[name]) for name in whole)
        found["dropout_parted"] = sorted(differing_arrays(whole, group))
        group.free()
        alone = world.create_group([world.rank], tag=0)
        one = trained(alone, replace(horovod, engine="local"), suite.MLP, sgld)
        found["sgld"] = suite.largest_difference(noisy, one)
        world.barrier()
    if world.rank == 0:
        print(json.dumps(found))


if __name__ == "__main__":
    main()

"""Runs of tasks that hand each other their artifacts from memory to memory, on ranks that are threads."""

from __future__ import annotations

import peer_transfer_suite

from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.training.session import open_session


def run_both(made, tasks, limit):
    """Run tasks one after the other on two ranks; artifacts stay in memory up to a limit. Return their metrics."""

    def on_rank(world):
        metrics = {}
        with peer_transfer_suite.Serving(world, limit) as peer_transfer:
            for task in tasks:
                world.barrier()
                owners = dict.fromkeys(made.prepared.job.tasks[task].needs, 0)
                context = made.context(
                    task, world.create_group([0, 1], tag=0), peer_transfer=peer_transfer, owners=owners
                )
                session = open_session(context)
                metrics[task] = session.run_layer(0).metrics
                session.close()
        return metrics

    return run_ranks(2, on_rank)[0]

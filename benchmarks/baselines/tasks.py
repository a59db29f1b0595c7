"""Trains tasks of a job by hpcmtl's own sessions, without its planning and dispatch.

usage: mpirun -np N python benchmarks/baselines/tasks.py JOB RUN TASK       one task on all ranks
       mpirun -np N python benchmarks/baselines/tasks.py JOB RUN            all tasks, each on one of N - 1 workers
"""

from __future__ import annotations

import sys
from concurrent.futures import FIRST_COMPLETED, wait
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from hpcmtl.communicators.mpi import world
from hpcmtl.pipeline.prepare import prepare
from hpcmtl.results.rundir.directory import RunDirectory
from hpcmtl.training.session import SessionContext, open_session

if TYPE_CHECKING:
    from hpcmtl.communicators.base import Communicator
    from hpcmtl.pipeline.prepare import Prepared


@cache
def prepared(job: str) -> Prepared:
    """Returns the job, read once per process."""
    return prepare(Path(job))


def run(job: str, directory: str, task: str, group: Communicator) -> None:
    """Runs all layers of a task on a group."""
    known = prepared(job)
    context = SessionContext(
        job=known.job,
        task=task,
        layers=known.graph.task(task).layers,
        arrays=known.arrays,
        files=known.files,
        directory=RunDirectory(Path(directory)),
        group=group,
        report=lambda _: None,
        stop_requested=lambda: False,
    )
    session = open_session(context)
    for layer in range(context.layers):
        session.run_layer(layer)
    session.close()


def on_one_rank(job: str, directory: str, task: str) -> str:
    """Runs a task on this rank alone."""
    everyone = world()
    group = everyone.create_group([everyone.rank], tag=0)
    try:
        run(job, directory, task, group)
    except Exception as error:  # noqa: BLE001 - raised again as a type that can be unpickled without mxnet
        raise RuntimeError(f"{task} on rank {everyone.rank}: {type(error).__name__}: {error}") from None
    group.free()
    return task


def as_futures(job: str, directory: str) -> None:
    """Runs all tasks as futures; a task is submitted when its producers are done."""
    from mpi4py.futures import MPICommExecutor

    with MPICommExecutor() as executor:
        if executor is None:  # a worker, at the end
            return
        waiting = {task.name: set(prepared(job).graph.producers(task.name)) for task in prepared(job).graph.tasks}
        running = set()
        while waiting or running:
            for task in [task for task, needs in waiting.items() if not needs]:
                del waiting[task]
                running.add(executor.submit(on_one_rank, job, directory, task))
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                for needs in waiting.values():
                    needs.discard(future.result())


if __name__ == "__main__":
    if len(sys.argv) == 4:
        run(*sys.argv[1:], world())
    else:
        as_futures(*sys.argv[1:])

"""`hpcmtl run` and `hpcmtl resume`: train a job, or continue one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from hpcmtl.cli.arguments import (
    HostFile,
    Hosts,
    JobFile,
    Json,
    Measured,
    NoFt,
    PolicyOption,
    RanksOption,
    Run,
    RunsDirectory,
    Sets,
)
from hpcmtl.launch.interpreter import imports

OtherJob = Annotated[
    Path | None,
    typer.Option(
        "--job", metavar="FILE", help="Changed job file, for tasks that have failed or not started.", show_default=False
    ),
]


def run(  # noqa: PLR0917 - options of the command line, given by name
    file: JobFile,
    ranks: RanksOption = None,
    policy: PolicyOption = None,
    runs: RunsDirectory = Path("runs"),
    measured: Measured = None,
    as_json: Json = False,
    hosts: Hosts = None,
    hostfile: HostFile = None,
    sets: Sets = None,
    *,
    no_ft: NoFt = False,
) -> None:
    """Plan and train a job. Outside MPI this starts mpirun; inside MPI this process is one rank."""
    with imports():
        from hpcmtl.cli.world import be_rank, start_ranks
        from hpcmtl.jobfile.changes import one_change
        from hpcmtl.launch.environment import inside_mpi
        from hpcmtl.results.rundir.find import find_run

    changes = one_change(sets or ())
    measured = None if measured is None else find_run(measured, runs).path
    if inside_mpi():
        with imports():
            from hpcmtl.pipeline.run.entry import run as run_job
            from hpcmtl.pipeline.run.options import RunOptions

        given = RunOptions(root=runs, ranks=ranks, policy=policy, measured=measured, changes=changes)
        be_rank(lambda options, world: run_job(file, options, world), given)
    with imports():
        from hpcmtl.launch.hosts import chosen_hosts, slots_of
        from hpcmtl.pipeline.prepare import prepare
        from hpcmtl.pipeline.run.measured import measurements_of
        from hpcmtl.results.format import counted

    chosen = chosen_hosts(hosts, hostfile)
    prepared = prepare(
        file, slots_of(chosen, ranks), policy, changes=changes
    )  # reports invalid input before any rank is started
    if measured is not None:
        measurements_of(measured)
    tasks = prepared.graph.tasks
    layers = sum(task.layers for task in tasks)
    size = f"{counted(len(tasks), 'task')}, {counted(layers, 'layer')}"
    typer.echo(f"hpcmtl: {prepared.job.job}: {size}; checking data and networks ...", err=True)
    words = ["run", str(file), "--ranks", str(prepared.job.ranks), "--runs", str(runs)]
    if prepared.job.sweep:
        text = f"hpcmtl: this is one run; `hpcmtl submit --array` sweeps over {', '.join(prepared.job.sweep)}"
        typer.echo(text, err=True)
    words += ["--measured", str(measured)] if measured else []
    words += [word for each in sets or () for word in ("--set", each)]
    words += _policy(policy)
    sys.exit(start_ranks(prepared.job.ranks, words, runs, hosts=chosen, as_json=as_json, survive=not no_ft))


def resume(  # noqa: PLR0917 - options of the command line, given by name
    name: Run,
    ranks: RanksOption = None,
    job: OtherJob = None,
    policy: PolicyOption = None,
    runs: RunsDirectory = Path("runs"),
    as_json: Json = False,
    hosts: Hosts = None,
    hostfile: HostFile = None,
    *,
    no_ft: NoFt = False,
) -> None:
    """Continue a stopped or failed run on any number of ranks; finished tasks are not run again."""
    with imports():
        from hpcmtl.cli.world import be_rank, print_result, start_ranks
        from hpcmtl.launch.environment import inside_mpi
        from hpcmtl.results.rundir.find import find_run

    directory = find_run(name, runs).path
    if inside_mpi():
        with imports():
            from hpcmtl.pipeline.run.entry import resume as resume_job
            from hpcmtl.pipeline.run.options import RunOptions

        given = RunOptions(ranks=ranks, policy=policy)
        be_rank(lambda options, world: resume_job(directory, job, options, world), given)
    with imports():
        from hpcmtl.launch.hosts import chosen_hosts, slots_of
        from hpcmtl.pipeline.run.resume_point import load_run

    chosen = chosen_hosts(hosts, hostfile)
    resume_point = load_run(directory, job, slots_of(chosen, ranks), policy)
    if resume_point.is_over:
        from rich.console import Console

        from hpcmtl.pipeline.run.result import read_result

        print_result(read_result(resume_point), Console(), as_json=as_json)
        typer.echo("nothing is left to be done", err=True)
        return
    words = ["resume", str(directory), "--ranks", str(resume_point.prepared.job.ranks)]
    words += ["--job", str(job)] if job else []
    words += _policy(policy)
    count = resume_point.prepared.job.ranks
    sys.exit(start_ranks(count, words, directory, hosts=chosen, as_json=as_json, survive=not no_ft))


def _policy(policy: str | None) -> list[str]:
    return ["--policy", policy] if policy else []

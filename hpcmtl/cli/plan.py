"""`hpcmtl plan`: who would run where, how wide and when."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hpcmtl.cli.arguments import Json, OptionalJobFile, Policy, Ranks
from hpcmtl.layerplan.bounds import gap
from hpcmtl.layerplan.files import read_problem, write_schedule
from hpcmtl.layerplan.policies import plan_problem, utilisation
from hpcmtl.layerplan.render import print_plan
from hpcmtl.pipeline.prepare import plan as make_plan
from hpcmtl.pipeline.prepare import prepare

ProblemFile = Annotated[
    Path | None, typer.Option("--problem", help="Plan arrays (.npz) instead of a job.", show_default=False)
]
Out = Annotated[
    Path | None, typer.Option("--out", help="With --problem: write the plan (.npz) there.", show_default=False)
]


def plan(  # noqa: PLR0917 - each is a word of the command line, given by name
    file: OptionalJobFile = None,
    ranks: Ranks = None,
    policy: Policy = None,
    problem: ProblemFile = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Plan a job and print the plan; needs neither MPI nor MXNet."""
    if (file is None) == (problem is None):
        raise typer.BadParameter("give either a job file or --problem FILE")
    if problem is not None:
        if ranks is not None:
            raise typer.BadParameter("the file of --problem has the number of ranks", param_hint="--ranks")
        _plan_arrays(problem, policy or "variable", out, as_json=as_json)
        return
    if out is not None:
        raise typer.BadParameter("goes with --problem", param_hint="--out")
    assert file is not None
    layer_plan = make_plan(prepare(file, ranks, policy))
    if as_json:
        typer.echo(json.dumps(layer_plan.to_dict(), indent=2))
        return
    print_plan(layer_plan, Console())


def _plan_arrays(path: Path, policy: str, out: Path | None, *, as_json: bool) -> None:
    problem = read_problem(path)
    start = time.perf_counter()
    schedule, bound = plan_problem(problem, policy)
    seconds = time.perf_counter() - start
    if out is not None:
        write_schedule(out, problem, schedule)
    facts = {
        "makespan": schedule.makespan,
        "lower_bound": bound,
        "gap": gap(schedule.makespan, bound),
        "seconds": seconds,
        "policy": policy,
        "tasks": len(problem.names),
        "ranks": problem.ranks,
        "utilisation": utilisation(problem, schedule),
    }
    if as_json:
        typer.echo(json.dumps(facts))
        return
    for name, value in facts.items():
        typer.echo(f"{name:<12} {value:.6g}" if isinstance(value, float) else f"{name:<12} {value}")

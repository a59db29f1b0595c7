"""`hpcmtl plan`: who would run where, how wide and when."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from hpcmtl.cli.arguments import Json, OptionalJobFile, Policy, Ranks
from hpcmtl.layerplan.bounds import gap
from hpcmtl.layerplan.chart import svg as draw
from hpcmtl.layerplan.explain import explain as explained
from hpcmtl.layerplan.files import read_problem, write_schedule
from hpcmtl.layerplan.limit import cut_off, limit_lines, parse_duration
from hpcmtl.layerplan.policies import COMPARED, plan_problem, utilisation
from hpcmtl.layerplan.problem import make_problem
from hpcmtl.layerplan.render import print_comparison, print_plan
from hpcmtl.pipeline.prepare import plan as plan_job
from hpcmtl.pipeline.prepare import prepare

if TYPE_CHECKING:
    from hpcmtl.pipeline.prepare import Prepared

ProblemFile = Annotated[
    Path | None, typer.Option("--problem", help="Plan arrays (.npz) instead of a job.", show_default=False)
]
Out = Annotated[
    Path | None, typer.Option("--out", help="With --problem: write the plan (.npz) there.", show_default=False)
]
Explain = Annotated[
    str | None, typer.Option("--explain", metavar="TASK", help="Say why a task has its ranks, layers and place.")
]
Compare = Annotated[bool, typer.Option("--compare", help="Put the policies side by side.")]
Svg = Annotated[Path | None, typer.Option("--svg", help="Draw the plan into this file.", show_default=False)]
TimeLimit = Annotated[
    str | None, typer.Option("--time-limit", metavar="TIME", help="Say what will not fit: 90s, 45m, 1h30m, 2-00:00:00.")
]


def plan(  # noqa: PLR0917 - each is a word of the command line, given by name
    file: OptionalJobFile = None,
    ranks: Ranks = None,
    policy: Policy = None,
    explain: Explain = None,
    compare: Compare = False,
    svg: Svg = None,
    time_limit: TimeLimit = None,
    problem: ProblemFile = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Plan a job and print the plan; needs neither MPI nor MXNet."""
    if (file is None) == (problem is None):
        raise typer.BadParameter("give either a job file or --problem FILE")
    for_jobs = {"--ranks": ranks, "--explain": explain, "--compare": compare, "--svg": svg, "--time-limit": time_limit}
    for_arrays = {"--out": out}
    for name, value in (for_jobs if file is None else for_arrays).items():
        if value not in {None, False}:
            kind = "a job file" if file is None else "--problem"
            raise typer.BadParameter(f"goes with {kind}", param_hint=name)
    if problem is not None:
        _plan_arrays(problem, policy or "variable", out, as_json=as_json)
        return
    assert file is not None
    limit = None if time_limit is None else parse_duration(time_limit)
    if compare:
        _compare(file, ranks, as_json=as_json)
    elif explain is not None:
        _explain(prepare(file, ranks, policy), explain)
    else:
        _plan_job(prepare(file, ranks, policy), svg, limit, as_json=as_json)


def _plan_job(prepared: Prepared, svg: Path | None, limit: float | None, *, as_json: bool) -> None:
    layer_plan = plan_job(prepared)
    if svg is not None:
        svg.write_text(draw(layer_plan), encoding="utf-8")
    if as_json:
        late = {} if limit is None else {"time_limit": limit, "cut_off": [t.name for t in cut_off(layer_plan, limit)]}
        typer.echo(json.dumps({**layer_plan.to_dict(), **late}, indent=2))
        return
    print_plan(layer_plan, Console())
    for line in () if limit is None else limit_lines(layer_plan, limit):
        typer.echo(line)


def _explain(prepared: Prepared, task: str) -> None:
    problem = make_problem(prepared.graph, prepared.job.ranks)
    for line in explained(task, prepared.graph, problem, plan_job(prepared), prepared.job.layers):
        typer.echo(line)


def _compare(file: Path, ranks: int | None, *, as_json: bool) -> None:
    plans = [plan_job(prepare(file, ranks, policy)) for policy in COMPARED]  # each with the layers that it makes
    if as_json:
        fields = ("policy", "makespan", "lower_bound", "gap", "utilisation")
        typer.echo(json.dumps([{name: getattr(plan, name) for name in fields} for plan in plans], indent=2))
        return
    print_comparison(plans, Console())


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

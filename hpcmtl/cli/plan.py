"""`hpcmtl plan`: show the planned ranks, widths and times of all tasks."""

from __future__ import annotations

import json
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hpcmtl.cli.arguments import (
    Json,
    Measured,
    OptionalJobFile,
    PolicyOption,
    RanksOption,
    RunsDirectory,
    Sets,
    require_folder,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hpcmtl.layerplan.model.speedup import Speedups
    from hpcmtl.pipeline.prepare import Prepared

ProblemFile = Annotated[
    Path | None, typer.Option("--problem", help="Plan arrays (.npz) instead of a job.", show_default=False)
]
Out = Annotated[
    Path | None, typer.Option("--out", help="With --problem: write the plan to this file (.npz).", show_default=False)
]
Explain = Annotated[
    str | None, typer.Option("--explain", metavar="TASK", help="Explain the ranks, layers and times of a task.")
]
Compare = Annotated[bool, typer.Option("--compare", help="Compare the planning policies.")]
Svg = Annotated[Path | None, typer.Option("--svg", help="Write a chart of the plan to this file.", show_default=False)]
RanksPerNode = Annotated[
    int | None,
    typer.Option("--ranks-per-node", min=1, help="Ranks per node; default: all on one node.", show_default=False),
]
CoresPerNode = Annotated[
    int | None,
    typer.Option("--cores-per-node", min=1, help="Cores per node; default: one per rank.", show_default=False),
]
TimeLimitOption = Annotated[
    str | None,
    typer.Option("--time-limit", metavar="TIME", help="Show tasks that may be late: 90s, 45m, 1h30m, 2-00:00:00."),
]


def plan(  # noqa: PLR0917 - options of the command line, given by name
    file: OptionalJobFile = None,
    ranks: RanksOption = None,
    policy: PolicyOption = None,
    explain: Explain = None,
    compare: Compare = False,
    svg: Svg = None,
    time_limit: TimeLimitOption = None,
    ranks_per_node: RanksPerNode = None,
    cores_per_node: CoresPerNode = None,
    measured: Measured = None,
    runs: RunsDirectory = Path("runs"),
    problem: ProblemFile = None,
    out: Out = None,
    sets: Sets = None,
    as_json: Json = False,
) -> None:
    """Plan a job and print the plan. Needs neither MPI nor a framework."""
    if (file is None) == (problem is None):
        raise typer.BadParameter("give either a job file or --problem FILE")
    views = {"--svg": svg, "--time-limit": time_limit}
    for_jobs: dict[str, object] = {"--ranks": ranks, "--explain": explain, "--compare": compare, **views}
    for_jobs |= {
        "--ranks-per-node": ranks_per_node,
        "--cores-per-node": cores_per_node,
        "--measured": measured,
        "--set": sets,
    }
    if file is None:
        _refuse(for_jobs, "goes with a job file")
    else:
        _refuse({"--out": out}, "goes with --problem")
    if problem is not None:
        _plan_arrays(problem, policy or "variable", out, as_json=as_json)
        return
    assert file is not None
    from hpcmtl.jobfile.changes import one_change
    from hpcmtl.layerplan.model.machine import Machine
    from hpcmtl.layerplan.model.speedup import Speedups
    from hpcmtl.layerplan.report.limit import parse_duration
    from hpcmtl.pipeline.prepare import prepare
    from hpcmtl.pipeline.run.measured import measurements_of
    from hpcmtl.results.rundir.find import find_run

    if svg is not None:
        require_folder("--svg", svg)
    limit = None if time_limit is None else parse_duration(time_limit)
    machine = Machine(ranks_per_node or 0, cores_per_node or 0)
    speedups = Speedups(() if measured is None else measurements_of(find_run(measured, runs).path), machine)
    prepared = partial(prepare, file, ranks, changes=one_change(sets or ()))
    if compare:
        _refuse({"--policy": policy, "--explain": explain, **views}, "does not go with --compare")
        _compare(prepared, speedups, as_json=as_json)
    elif explain is not None:
        _refuse({"--json": as_json, **views}, "does not go with --explain")
        _explain(prepared(policy), explain, speedups)
    else:
        _plan_job(prepared(policy), svg, limit, speedups, as_json=as_json)


def _refuse(options: Mapping[str, object], why: str) -> None:
    for name, value in options.items():
        if value is not None and value is not False:
            raise typer.BadParameter(why, param_hint=name)


def _plan_job(prepared: Prepared, svg: Path | None, limit: float | None, speedups: Speedups, *, as_json: bool) -> None:
    from rich.console import Console

    from hpcmtl.layerplan.report.chart import svg as draw
    from hpcmtl.layerplan.report.limit import cut_off, limit_lines
    from hpcmtl.layerplan.report.render import print_plan
    from hpcmtl.pipeline.prepare import plan as plan_job

    layer_plan = plan_job(prepared, speedups)
    if svg is not None:
        svg.write_text(draw(layer_plan, prepared.job.job), encoding="utf-8")
    if as_json:
        late = {} if limit is None else {"time_limit": limit, "cut_off": [t.name for t in cut_off(layer_plan, limit)]}
        typer.echo(json.dumps({**layer_plan.to_dict(), **late}, indent=2))
        return
    print_plan(layer_plan, Console())
    for line in () if limit is None else limit_lines(layer_plan, limit):
        typer.echo(line)


def _explain(prepared: Prepared, task: str, speedups: Speedups) -> None:
    from hpcmtl.layerplan.problem.planning_problem import make_problem
    from hpcmtl.layerplan.report.explain import explain as explained
    from hpcmtl.pipeline.prepare import plan as plan_job
    from hpcmtl.taskgraph.graph import layers_of

    problem = make_problem(prepared.graph, prepared.job.ranks, speedups)
    layer_plan = plan_job(prepared, speedups)
    rule = layers_of(prepared.job)
    for line in explained(task, prepared.graph, problem, layer_plan, rule=rule, speedups=speedups):
        typer.echo(line)


def _compare(prepared: Callable[[str], Prepared], speedups: Speedups, *, as_json: bool) -> None:
    from rich.console import Console

    from hpcmtl.layerplan.report.render import print_comparison
    from hpcmtl.layerplan.solve.policies import COMPARED
    from hpcmtl.pipeline.prepare import plan as plan_job

    jobs = map(prepared, COMPARED)  # the layers depend on the policy
    plans = [plan_job(job, speedups) for job in jobs]
    if as_json:
        fields = ("policy", "makespan", "lower_bound", "gap", "utilisation")
        typer.echo(json.dumps([{name: getattr(plan, name) for name in fields} for plan in plans], indent=2))
        return
    print_comparison(plans, Console())


def _plan_arrays(path: Path, policy: str, out: Path | None, *, as_json: bool) -> None:
    from hpcmtl.layerplan.report.files import read_problem, write_schedule
    from hpcmtl.layerplan.solve.bounds import gap
    from hpcmtl.layerplan.solve.policies import plan_problem, utilisation

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

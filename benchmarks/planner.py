"""Measures the quality and the time of plans, beside published planners, on fixed random problems.

usage: python benchmarks/planner.py [--quick] [--only FAMILY ...] [--json FILE]

Every plan is checked (`hpcmtl.layerplan.report.check`). Ratios are makespan over bound: `/LB` uses the planner's
certified lower bound, `/L` that of the literature (least area and critical path), `/L_bfs` the latter as the published
code computes it, for comparison with published ratios. `best other` is the shortest plan of all published planners for
the same problem. The full run takes about 30 minutes on 2 cores, --quick about two.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from statistics import mean, median
from typing import TYPE_CHECKING, Any

import numpy as np
from planning.baselines import BASELINES, LP_TASKS, topc24
from planning.families import family, makespans_before
from planning.followed import runs
from planning.instances import MODELS, Instance, from_arrays, large, published, published_bound, shapes, speedups
from planning.simulate import after_loss, realised, with_noise
from rich.console import Console
from rich.table import Table

from hpcmtl.layerplan.report.check import placed_violations, schedule_violations
from hpcmtl.layerplan.solve.allocate import allocate
from hpcmtl.layerplan.solve.bounds import bound_of_widths, lower_bound, simple_bound
from hpcmtl.layerplan.solve.exact import optimum
from hpcmtl.layerplan.solve.policies import plan_problem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hpcmtl.layerplan.problem.planning_problem import PlanningProblem
    from hpcmtl.layerplan.solve.packing import Schedule

Row = dict[str, Any]
console = Console(width=120 if not sys.stdout.isatty() else None)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the selected families and prints a table for each."""
    parser = argparse.ArgumentParser(description="Measure the planner.")
    parser.add_argument("--quick", action="store_true", help="small problems, one seed")
    parser.add_argument("--only", nargs="+", choices=list(FAMILIES), default=list(FAMILIES), metavar="FAMILY")
    parser.add_argument("--json", type=Path, help="write all numbers to this file as well")
    options = parser.parse_args(arguments)
    results: dict[str, list[Row]] = {}
    for name in options.only:
        start = time.perf_counter()
        results[name] = FAMILIES[name](options.quick)
        _show(name, FAMILIES[name].__doc__ or "", results[name], time.perf_counter() - start)
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=1), encoding="utf-8")


def planned(problem: PlanningProblem, policy: str = "variable") -> tuple[Schedule, float, float]:
    """Returns a checked plan, its bound, and the seconds of planning."""
    start = time.perf_counter()
    schedule, bound = plan_problem(problem, policy)
    seconds = time.perf_counter() - start
    broken = schedule_violations(problem, schedule)
    if broken:
        raise AssertionError(f"{policy} made an invalid plan: {broken[0]}")
    return schedule, bound, seconds


def others(problem: PlanningProblem, model: str | None = None) -> dict[str, float]:
    """Returns the checked makespans of all published planners that can plan the problem in reasonable time."""
    planners = dict(BASELINES)
    if model is not None:
        planners["topc24"] = topc24(model)
    if len(problem.names) > LP_TASKS:
        del planners["ltw_lp"]
    found = {}
    for name, planner in planners.items():
        placed = planner(problem)
        broken = placed_violations(problem, placed)
        if broken:
            raise AssertionError(f"{name} made an invalid plan: {broken[0]}")
        found[name] = float(placed.end.max())
    found["mcpa2"] = min(found["cpa"], found["mcpa"])  # by definition
    found["sequential"] = plan_problem(problem, "sequential")[0].makespan
    return found


def grid(quick: bool) -> list[Row]:
    """The published grid at its defaults; Fair's published mean ratio over L_bfs is 1.52."""
    tasks, ranks, seeds, compared = (100, 64, 1, 1) if quick else (2500, 512, 10, 2)
    rows = []
    for model in MODELS[::3] if quick else MODELS:
        found: list[Row] = []
        for seed in range(1, seeds + 1):
            problem = published(model, seed, tasks=tasks, ranks=ranks)
            schedule, bound, seconds = planned(problem)
            simple, bfs = simple_bound(problem), published_bound(problem)
            row = {"/LB": schedule.makespan / bound, "/L": schedule.makespan / simple}
            row |= {"/L_bfs": schedule.makespan / bfs, "seconds": seconds}
            if seed <= compared:
                rated = others(problem, model)
                best = min(rated, key=lambda name: rated[name])
                row |= {"Fair/L_bfs": rated["fair"] / bfs, "MCPA/LB": rated["mcpa"] / bound}
                row |= {"CPA/LB": rated["cpa"] / bound, "best other/LB": rated[best] / bound, "best other": best}
                row["ours/best other"] = schedule.makespan / rated[best]
            found.append(row)
        rows.append({"model": model, **_averaged(found), "worst /LB": max(row["/LB"] for row in found)})
    return [*rows, {"model": "mean", **_averaged(rows)}]


def sweep(quick: bool) -> list[Row]:
    """The published grid away from its defaults: one parameter at a time, all five speedup models."""
    values: dict[str, list[float]] = {
        "tasks": [500, 5000],
        "ranks": [124, 1024],
        "fat": [0.25, 1.0],
        "density": [0.0, 1.0],
        "regular": [0.0, 1.0],
        "jump_size": [1, 9],
    }
    rows = []
    for name, chosen in values.items():
        for value in chosen[:1] if quick else chosen:
            settings: dict[str, Any] = {"tasks": 200, "ranks": 64} if quick else {}
            settings[name] = type(chosen[0])(value) if not quick or name not in settings else settings[name]
            found = []
            for model in MODELS:
                schedule, bound, seconds = planned(published(model, 1, **settings))
                found.append({"/LB": schedule.makespan / bound, "seconds": seconds})
            rows.append(
                {"parameter": f"{name} = {value}", **_averaged(found), "worst /LB": max(row["/LB"] for row in found)}
            )
    return rows


def speed(quick: bool) -> list[Row]:
    """Seconds of planning alone, median of 5 (3 and 1 for the largest), and their growth; general speedups."""
    sizes = [(100, 64), (1000, 512), (10_000, 4096), (1000, 1024), (3000, 1024), (30_000, 1024), (100_000, 1024)]
    rows = []
    for tasks, ranks in sizes[:2] if quick else sizes:
        times, made = [], (0.0, 0.0)
        for _ in range(5 if tasks < 10_000 else 3 if tasks < 30_000 else 1):
            problem = large(tasks, ranks)  # created each time, so that nothing is cached between plans
            schedule, bound, seconds = planned(problem)
            times.append(seconds)
            made = (schedule.makespan, bound)
        edges = len(problem.levels.edges)
        row = {"tasks": tasks, "ranks": ranks, "edges": edges, "widths": len(problem.widths)}
        each = median(times) / (tasks + edges) * 1e6
        rows.append(row | {"seconds": median(times), "us / (task + edge)": each, "/LB": made[0] / made[1]})
    for model in () if quick else MODELS:
        for tasks, ranks in ((100, 64), (1000, 512)):
            times = [planned(published(model, 1, tasks=tasks, ranks=ranks))[2] for _ in range(5)]
            rows.append({"tasks": tasks, "ranks": ranks, "widths": ranks, "model": model, "seconds": median(times)})
    return rows


def work(quick: bool) -> list[Row]:
    """Shapes of real work, with data-parallel training times on nodes of 16 ranks."""
    rows = []
    for instance in _every(shapes, 1)[::3] if quick else _every(shapes, 3):
        schedule, bound, _ = planned(instance.problem)
        rated = others(instance.problem)
        best = min(rated, key=lambda name: rated[name])
        row = {"graph": instance.name, "tasks": len(instance.problem.names), "/LB": schedule.makespan / bound}
        row |= {"best other/LB": rated[best] / bound, "best other": best}
        row |= {"ours/best other": schedule.makespan / rated[best], "sequential/LB": rated["sequential"] / bound}
        rows.append(row)
    return rows


def families(quick: bool) -> list[Row]:
    """Families of encoders and heads; `/before` is over the plans of the release before the local search."""
    rows, before = [], makespans_before()
    for model in ("amdahl", "powercom"):
        for tasks in (50,) if quick else (50, 150, 500):
            for ranks in (8, 64) if quick else (8, 64, 256):
                found = []
                known = before[f"{model} {tasks} {ranks}"]
                for seed, makespan in enumerate(known[:1] if quick else known, 1):
                    schedule, bound, seconds = planned(family(model, tasks, ranks, seed))
                    row = {"/LB": schedule.makespan / bound, "before/LB": makespan / bound, "seconds": seconds}
                    found.append(row | {"/before": schedule.makespan / makespan})
                most = {"worst /LB": max(row["/LB"] for row in found), "most /before": max(r["/before"] for r in found)}
                rows.append({"model": model, "tasks": tasks, "ranks": ranks, **_averaged(found), **most})
    every = {"worst /LB": max(r["worst /LB"] for r in rows), "most /before": max(r["most /before"] for r in rows)}
    return [*rows, {"model": "mean", **_averaged(rows), **every}]


def tiny(quick: bool) -> list[Row]:
    """Small graphs beside the optimum by CP-SAT, with contiguous blocks; only proved optima count."""
    if find_spec("ortools") is None:
        console.print("OR-Tools is not installed: pip install 'hpcmtl[exact]'")
        return []
    rows = []
    for tasks, ranks in ((6, 4), (8, 8), (10, 8), (12, 8)):
        found, bounds = [], []
        for model in MODELS:
            for seed in (1,) if quick else (1, 2, 3):
                problem = published(model, seed, tasks=tasks, ranks=ranks)
                schedule, bound, _ = planned(problem)
                best = optimum(problem, schedule, bound, seconds=1.0 if quick else 5.0)
                if best.proved:
                    found.append(schedule.makespan / best.schedule.makespan)
                    bounds.append(bound / best.schedule.makespan)
        if found:
            row = {"tasks": tasks, "ranks": ranks, "proved": len(found), "ours/optimum": mean(found)}
            rows.append(row | {"worst": max(found), "LB/optimum": mean(bounds), "highest LB/optimum": max(bounds)})
    return rows


def independent(quick: bool) -> list[Row]:
    """Tasks without edges."""
    rows = []
    for model in MODELS:
        for tasks, ranks in ((50, 64),) if quick else ((50, 64), (500, 128), (2000, 512)):
            draw = np.random.default_rng([tasks, MODELS.index(model)])
            widths = np.arange(1, ranks + 1)
            times = speedups(model, draw.lognormal(6, 1.5, tasks), widths, draw)
            problem = from_arrays(times, widths, np.empty((0, 2), dtype=np.int64), ranks)
            schedule, bound, seconds = planned(problem)
            rated = others(problem, model)
            best = min(rated, key=lambda name: rated[name])
            row = {"model": model, "tasks": tasks, "ranks": ranks, "/LB": schedule.makespan / bound}
            row |= {"best other/LB": rated[best] / bound, "best other": best, "seconds": seconds}
            rows.append(row | {"ours/best other": schedule.makespan / rated[best]})
    return rows


def noise(quick: bool) -> list[Row]:
    """Times that vary (lognormal, sigma), over the bound for the actual times; and the loss of a quarter of the ranks.

    The bound knows all times beforehand. `own widths` is over the longest way and the area of the widths that were
    chosen, which is what any order of the same groups would have to take.
    """
    tasks, ranks = (100, 64) if quick else (2500, 512)
    rows = []
    for model in MODELS[::3] if quick else MODELS:
        problem = published(model, 1, tasks=tasks, ranks=ranks)
        plan, bound, _ = planned(problem)
        row: Row = {"model": model, "planned": plan.makespan / bound}
        for sigma in (0.2,) if quick else (0.1, 0.2):
            factors = np.random.default_rng(5).lognormal(-(sigma**2) / 2, sigma, tasks)
            truth = replace(problem, times=problem.times * factors[:, None])
            least = lower_bound(truth, allocate(truth).prices)
            row[f"{sigma}: fixed order"] = realised(problem, plan, factors).makespan / least
            really = with_noise(problem, plan, factors, bound)
            row[f"{sigma}: packed at every end"] = really.makespan / least
            seconds, widths = problem.at(really.columns)
            row[f"{sigma}: own widths"] = really.makespan / bound_of_widths(problem, seconds * factors, widths)
        gone = np.arange(ranks) < ranks // 4
        for label, widened in (("loss: old widths", False), ("loss: new widths", True)):
            row[label] = after_loss(problem, plan, plan.makespan / 2, gone, widened=widened).makespan / bound
        rows.append(row)
    return [*rows, {"model": "mean", **_averaged(rows)}]


FAMILIES: dict[str, Callable[[bool], list[Row]]] = {
    "grid": grid,
    "sweep": sweep,
    "speed": speed,
    "work": work,
    "families": families,
    "tiny": tiny,
    "independent": independent,
    "noise": noise,
    "runs": runs,
}


def _every(family: Callable[[int], list[Instance]], seeds: int) -> list[Instance]:
    return [instance for seed in range(1, seeds + 1) for instance in family(seed)]


def _averaged(rows: list[Row]) -> Row:
    keys = {key: None for row in rows for key in row}
    numbers = {key: [row[key] for row in rows if isinstance(row.get(key), float)] for key in keys}
    return {key: mean(values) for key, values in numbers.items() if values}


def _show(name: str, title: str, rows: list[Row], seconds: float) -> None:
    table = Table(title=f"{name}: {title.splitlines()[0]} ({seconds:.0f} s)", title_justify="left")
    keys = list({key: None for row in rows for key in row})
    for key in keys:
        table.add_column(key, justify="right")
    for row in rows:
        values = [row.get(key, "") for key in keys]
        table.add_row(*(f"{value:.4g}" if isinstance(value, float) else str(value) for value in values))
    console.print(table)


if __name__ == "__main__":
    main()

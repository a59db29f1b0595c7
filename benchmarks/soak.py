"""Checks that random families of tiny tasks, one after the other in one job, all end correctly.

    python benchmarks/soak.py [--graphs 200] [--seed 0] [--quick] [--json FILE]

Tasks fail and are retried, groups change at random between layers, and requests pause tasks, change priorities and
learning rates, and add tasks while they run, on 4 ranks. After each family: every task has its expected status, every
layer ended once, no rank was in two layers at a time, and every communicator was freed. At the end memory, descriptors
and threads must not have grown. Exit code 1 if a check fails.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.random import Generator

HERE = Path(__file__).resolve().parent
RANKS = 4
SECONDS = 30  # time limit per family, on average
WARM_UP = 10  # families before memory is measured
GROWTH_BYTES = 2 * 2**20  # maximum growth of a rank per family


@dataclass(frozen=True, kw_only=True)
class Draws:
    """Holds the random generators of a soak; they are independent, so that requests do not change the jobs."""

    jobs: Generator
    requests: Generator


def main() -> int:
    """Runs the families, prints the failed checks, and returns 1 if there are any."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graphs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="6 graphs")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--as-rank", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    graphs = 6 if options.quick else options.graphs
    if options.as_rank:
        as_rank(options.as_rank, options.seed, graphs)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        words = [sys.executable, "-m", "mpi4py", __file__, "--as-rank", str(out)]
        words += ["--graphs", str(graphs), "--seed", str(options.seed)]
        launcher = [HERE.parent / "launchers" / "mpirun.sh", "-np", str(RANKS)]
        done = subprocess.run([*launcher, *words], check=False, timeout=60 + SECONDS * graphs, stderr=subprocess.PIPE)
        if done.returncode or not out.exists():
            print(done.stderr.decode()[-5000:], f"the soak ended with {done.returncode}", sep="\n")
            return 1
        found = json.loads(out.read_text(encoding="utf-8"))
    for wrong in found["wrong"]:
        print(wrong)
    print(
        f"{len(found['seconds'])} families of {found['tasks']} tasks and {found['layers']} layers, "
        f"{found['moves']} of them on other ranks than the one before; {found['retries']} tries after failures; "
        f"{found['requests']} requests; "
        f"{median(found['seconds']):.1f} s a family, {max(found['seconds']):.1f} at most; "
        f"{found['growth'] / 2**20:.2f} MiB a family and rank; {len(found['wrong'])} failed checks"
    )
    if options.json:
        options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return 1 if found["wrong"] else 0


def as_rank(out: Path, seed: int, graphs: int) -> None:
    """Runs one rank of all families."""
    from hpcmtl.communicators.mpi import world as mpi_world

    sys.path.insert(0, str(HERE))
    attempt, world, open_groups = import_module("hpcmtl.pipeline.run.attempt"), mpi_world(), count_groups()
    attempt.scheduler_for = random_groups(np.random.default_rng(seed + 1))  # type: ignore[attr-defined]
    import_module("hpcmtl.dispatch.requests.request_queue").SECONDS_BETWEEN_LOOKS = 0.05  # type: ignore[attr-defined]
    if world.rank == 0:
        write_data(out.parent / "data.h5")
    world.barrier()
    chance, request_draws = np.random.default_rng(seed), np.random.default_rng(seed + 2)  # equal on all ranks
    counts = dict.fromkeys(("tasks", "layers", "moves", "retries", "requests"), 0)
    found: dict[str, Any] = {"wrong": [], "seconds": [], **counts}
    levels = []
    for number in range(graphs):
        folder = out.parent / str(number)
        folder.mkdir(exist_ok=True)
        wrong = one_family(world, folder, Draws(jobs=chance, requests=request_draws), found)
        wrong += [f"rank {world.rank}: {count} groups were not freed" for count in [open_groups["open"]] if count]
        found["wrong"] += [f"family {number}: {text}" for each in world.allgather(wrong) for text in each]
        levels.append(level())
    growth = max(world.allgather(grown(levels)))
    found["growth"] = growth[0]
    if growth[0] > GROWTH_BYTES or growth[1] > 0 or growth[2] > 0:
        found["wrong"].append(f"a rank grew by {growth} bytes, descriptors and threads a family")
    if not found["moves"] and graphs > 1:
        found["wrong"].append("no task moved: the benchmark has not tested moves")
    if world.rank == 0:
        out.write_text(json.dumps(found), encoding="utf-8")


def one_family(world: Any, folder: Path, draws: Draws, found: dict[str, Any]) -> list[str]:
    """Runs one family; returns its failed checks, and counts events."""
    from soak_tasks import RandomRequests

    pipeline = import_module("hpcmtl.pipeline.run.entry")
    job, expected = family(draws.jobs, folder)
    began, tasks = time.monotonic(), job.model_dump(mode="json", by_alias=True, exclude_none=True)["tasks"]
    requester = RandomRequests(folder / "runs", tasks, draws.requests)
    if world.rank == 0:
        requester.start()
    result = pipeline.run(job, pipeline.RunOptions(folder / "runs"), world)
    found["seconds"].append(time.monotonic() - began)
    if world.rank != 0:
        return []
    expected |= dict.fromkeys(requester.end(), "complete")
    found["requests"] += len(requester.sent)
    statuses = {task.name: task.status for task in result.tasks}
    wrong = [
        f"{name} is {statuses.get(name)}, not {status}"
        for name, status in expected.items()
        if statuses.get(name) != status
    ]
    wrong += check_ledger(next((folder / "runs").iterdir()), expected, found)
    shutil.rmtree(folder / "runs")
    return wrong


def family(chance: Generator, folder: Path) -> tuple[Any, dict[str, str]]:
    """Returns a random job, and the expected status of each of its tasks."""
    from hpcmtl.jobfile.load import parse_job

    tasks: dict[str, Any] = {}
    expected: dict[str, str] = {}
    for i in range(int(chance.integers(2, 9))):
        name = f"t{i}"
        earlier = list(tasks)
        picked = chance.permutation(len(earlier))[: chance.integers(0, 3)].tolist() if earlier else []
        needs = {earlier[k]: "order" for k in picked}
        low = int(chance.integers(1, RANKS + 1))
        common = {"needs": needs, "priority": int(chance.integers(-1, 2)), "retries": int(chance.integers(0, 2))}
        common["ranks"] = {"min": low, "max": int(chance.integers(low, RANKS + 1))}
        fails = 0
        if chance.random() < 0.4:
            fails = int(chance.integers(0, 3))
            arguments = {"calls": str(folder / f"{name}.calls"), "fails": fails}
            tasks[name] = {
                "kind": "python",
                "callable": "soak_tasks:fail_first_calls",
                "arguments": arguments,
                **common,
            }
        else:
            model = {"name": "mlp", "widths": [8], "outputs": 2}
            sizes = {"epochs": int(chance.integers(1, 3)), "batch_size": 16, "layers": int(chance.integers(1, 5))}
            train = {"kind": "train", "model": model, "input": "data/x", "target": "data/y", "loss": "softmax_ce"}
            tasks[name] = {**train, **sizes, **common}
        lost = any(expected[need] != "complete" for need in needs)
        expected[name] = "skipped" if lost else "failed" if fails > common["retries"] else "complete"
    policy = str(chance.choice(["variable", "variable", "fixed", "waves", "sequential", "one_rank"]))
    job = {"hpcmtl": 1, "job": "soak", "ranks": RANKS, "policy": policy, "tasks": tasks}
    return parse_job({**job, "data": {"data": str(folder.parent / "data.h5")}}), expected


def write_data(path: Path) -> None:
    """Writes few small samples."""
    from hpcmtl.data.hdf5 import write_dataset_file

    rng = np.random.default_rng(0)
    arrays = {"x": rng.normal(size=(96, 6)).astype(np.float32), "y": rng.integers(0, 2, 96)}
    write_dataset_file(path, arrays, np.zeros(96, np.uint8), overwrite=True)


def random_groups(chance: Generator) -> Any:
    """Returns a factory of schedulers; adaptive ones choose random widths and ranks in half of the cases."""
    from hpcmtl.dispatch.scheduling.rolling_horizon import RollingHorizonScheduler
    from hpcmtl.dispatch.scheduling.select import scheduler_for

    class RandomGroups(RollingHorizonScheduler):
        def _where_it_is(self, state: Any, i: int) -> tuple[int, int]:
            column, first = super()._where_it_is(state, i)
            if chance.random() < 0.5:
                return column, first
            return int(chance.choice(np.flatnonzero(self._problem.allowed[i]))), -1

    def choose(graph: Any, plan: Any, measurements: Any = (), _limit: Any = None) -> Any:
        usual = scheduler_for(graph, plan, measurements)
        return RandomGroups(graph, plan, measurements) if isinstance(usual, RollingHorizonScheduler) else usual

    return choose


def check_ledger(run: Path, expected: dict[str, str], found: dict[str, Any]) -> list[str]:
    """Returns the failed checks of a run's ledger, and counts events."""
    from hpcmtl.results.ledger import read
    from hpcmtl.results.rundir.directory import RunDirectory

    wrong, ended, inside = [], Counter[tuple[str, int]](), dict[int, str]()
    blocks: dict[str, list[range]] = defaultdict(list)
    layers: dict[str, int] = {}
    for event in read(RunDirectory(run).ledger_file):
        task = event.get("task", "")
        if event["event"] == "layer_started":
            block = range(event["first_rank"], event["first_rank"] + event["ranks"])
            wrong += [f"rank {rank} is in {inside[rank]} and {task}" for rank in block if rank in inside]
            inside.update(dict.fromkeys(block, task))
            blocks[task].append(block)
            layers[task] = event["layers"]
        elif event["event"] in {"layer_ended", "layer_stopped", "task_retried"} or event.get("status") == "failed":
            inside = {rank: other for rank, other in inside.items() if other != task}
            if event["event"] == "layer_ended":
                ended[task, event["layer"]] += 1
            found["retries"] += event["event"] == "task_retried"
    for task, status in expected.items():
        counts = [ended[task, layer] for layer in range(layers.get(task, 1))]
        if counts != [1] * len(counts) and status == "complete":
            wrong.append(f"{task}: its layers ended {counts} times")
        found["layers"] += len(counts)
        found["moves"] += sum(before != after for before, after in pairwise(blocks[task]))
    found["tasks"] += len(expected)
    return wrong


def count_groups() -> dict[str, int]:
    """Counts the open groups of this rank from now on."""
    from hpcmtl.communicators.mpi import MpiCommunicator

    counted = {"open": 0}
    create, free = MpiCommunicator.create_group, MpiCommunicator.free

    def created(self: Any, *args: Any, **keys: Any) -> Any:
        counted["open"] += 1
        group = create(self, *args, **keys)
        group.counted = True
        return group

    def freed(self: Any) -> None:
        counted["open"] -= getattr(self, "counted", False)
        free(self)

    MpiCommunicator.create_group, MpiCommunicator.free = created, freed  # type: ignore[method-assign]
    return counted


def level() -> tuple[int, int, int]:
    """Returns bytes, descriptors and threads of this process."""
    import threading

    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGESIZE"), sum(1 for _ in Path("/proc/self/fd").iterdir()), threading.active_count()


def grown(levels: list[tuple[int, int, int]]) -> tuple[float, ...]:
    """Returns the mean growth per family of each number, after the first families."""
    first = min(WARM_UP, len(levels) // 2)
    return tuple(
        (after - before) / (len(levels) - first) for before, after in zip(levels[first], levels[-1], strict=True)
    )


if __name__ == "__main__":
    sys.exit(main())

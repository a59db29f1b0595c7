"""Checks that a convolutional network survives evaluation followed by broadcast; with upstream most runs die.

    python benchmarks/stress_layout.py --runs N [--ranks 2,4] [--quick] [--upstream] [--json FILE]

Each run is a new mpirun, on 2 and 4 ranks in turn, with several rounds: divide the ranks, open Horovod on each group,
load the last checkpoint, train, evaluate, broadcast, evaluate, checkpoint, close. Exit code 1 if any run fails. With
--upstream no array is converted to the default layout and parameters are sent by `horovod.broadcast_`, as in upstream's
examples, to show that the stress is effective; the exit code is then 1 if NO run fails.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.communicators.base import Communicator

ROOT = Path(__file__).resolve().parent.parent
RUN_SECONDS = 90.0  # time limit of a run
ROUNDS, QUICK_ROUNDS = 6, 3
STEPS = 4
BATCH = 32
SAMPLE = (1, 28, 28)
DONE = "all rounds done"

# Sizes of the groups in each round; every rank is in one group.
GROUPINGS = {
    2: ([2], [1, 1], [2]),
    3: ([3], [1, 2], [2, 1]),
    4: ([4], [2, 2], [1, 3], [3, 1], [1, 2, 1], [4]),
}


@dataclass(frozen=True)
class Outcome:
    """Holds the result of one run; for a failure, the line with the reason and the end of the output."""

    ranks: int
    seconds: float
    passed: bool
    reason: str = ""
    output: str = ""


def main() -> int:
    """Runs, prints the table, and returns 0 if all runs have the expected result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=50, help="total over all numbers of ranks")
    parser.add_argument("--ranks", default="2,4", help=f"of {', '.join(map(str, GROUPINGS))}")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ROUNDS} rounds a run instead of {ROUNDS}")
    parser.add_argument("--upstream", action="store_true", help="keep layouts and broadcast with Horovod")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--as-rank", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    rounds = QUICK_ROUNDS if options.quick else ROUNDS
    if options.as_rank:
        stress(options.as_rank, rounds, upstream=options.upstream)
        return 0
    sizes = [int(size) for size in options.ranks.split(",")]
    if not set(sizes) <= set(GROUPINGS) or options.runs < 1:
        parser.error(f"--runs is at least 1, --ranks some of {', '.join(map(str, GROUPINGS))}")
    outcomes = []
    for number, ranks in zip(range(options.runs), itertools.cycle(sizes), strict=False):
        outcomes.append(launch(ranks, options))
        print(f"run {number + 1} of {options.runs}: {outcomes[-1].reason or 'passed'}", file=sys.stderr, flush=True)
    report(outcomes, options)
    failed = sum(not outcome.passed for outcome in outcomes)
    return int(failed == 0 if options.upstream else failed > 0)


def launch(ranks: int, options: argparse.Namespace) -> Outcome:
    """Runs one mpirun."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-m", "mpi4py", __file__, "--as-rank", folder]
        words += [flag for flag in ("--quick", "--upstream") if getattr(options, flag[2:])]
        command = [str(ROOT / "launchers/mpirun.sh"), "-np", str(ranks), *words]
        try:
            done = subprocess.run(
                ["timeout", "--kill-after=10", str(RUN_SECONDS), *command],  # mpirun ends its ranks on SIGTERM
                capture_output=True,
                text=True,
                check=False,
            )
        finally:
            seconds = time.perf_counter() - started
    passed = done.returncode == 0 and done.stdout.count(DONE) == ranks
    return Outcome(ranks, seconds, passed, *(() if passed else (_reason(done), (done.stderr + done.stdout)[-10_000:])))


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode in {124, 137}:
        return f"hung: over {RUN_SECONDS:.0f} s"
    lines = [line.strip() for line in (done.stderr + done.stdout).splitlines()]
    errors = [line for line in lines if "Error" in line or "Assertion" in line or "signal" in line]
    return (errors or lines or ["no output"])[0][:200] + f" (exit {done.returncode})"


def report(outcomes: list[Outcome], options: argparse.Namespace) -> None:
    """Prints the table and writes the JSON."""
    rows = []
    for ranks in sorted({outcome.ranks for outcome in outcomes}):
        mine = [outcome for outcome in outcomes if outcome.ranks == ranks]
        passed = sum(outcome.passed for outcome in mine)
        median = statistics.median(outcome.seconds for outcome in mine)
        rows.append(
            {"ranks": ranks, "runs": len(mine), "passed": passed, "failed": len(mine) - passed, "median": median}
        )
    print(f"{'ranks':>5}  {'runs':>5}  {'passed':>6}  {'failed':>6}  {'median s':>8}")
    for row in rows:
        print(f"{row['ranks']:>5}  {row['runs']:>5}  {row['passed']:>6}  {row['failed']:>6}  {row['median']:>8.1f}")
    passed = sum(outcome.passed for outcome in outcomes)
    print(f"{passed} of {len(outcomes)} runs passed{', as upstream does it' if options.upstream else ''}")
    if options.json:
        facts = {"upstream": options.upstream, "passed": passed, "failed": len(outcomes) - passed, "rows": rows}
        options.json.write_text(json.dumps({**facts, "outcomes": [asdict(each) for each in outcomes]}, indent=2))


def stress(folder: Path, rounds: int, *, upstream: bool) -> None:
    """Runs all rounds on one rank."""
    from hpcmtl.communicators.mpi import world as mpi_world

    if upstream:
        _do_as_upstream()
    world = mpi_world()
    for number, sizes in zip(range(rounds), itertools.cycle(GROUPINGS.get(world.size, ([1],))), strict=False):
        ends = list(itertools.accumulate(sizes))
        block = next(range(end - size, end) for size, end in zip(sizes, ends, strict=True) if world.rank < end)
        group = world.create_group(list(block), tag=number)
        _round(group, folder / f"ranks-from-{block.start}.h5", folder / "ranks-from-0.h5", number)
        group.free()
        world.barrier()
    print(DONE, flush=True)


def _round(group: Communicator, mine: Path, last: Path, number: int) -> None:
    """Loads the last checkpoint, trains, evaluates, broadcasts, evaluates and checkpoints, on one group."""
    from hpcmtl.exchange.store import read_sealed, seal
    from hpcmtl.exchange.transfer import share
    from hpcmtl.jobfile.tasks import Optimizer
    from hpcmtl.networks.description import Leaf
    from hpcmtl.networks.models import ConvNet
    from hpcmtl.networks.objective import MAIN, Objective
    from hpcmtl.training.gluon.framework import GluonFramework
    from hpcmtl.training.learner_settings import LearnerSettings
    from hpcmtl.training.multitask.step_gradients import weighted_sum
    from hpcmtl.training.replica import Replica
    from hpcmtl.training.step_input import StepInput
    from hpcmtl.training.strategies.select import StrategySettings, open_strategy

    network = Leaf(ConvNet(channels=(16, 32), widths=(64,), outputs=10))
    objectives = (Objective(MAIN, "", "softmax_ce", 1.0, ()),)
    settings = LearnerSettings(Optimizer(name="adam", learning_rate=1e-3), seed=group.rank)
    learner = (framework := GluonFramework()).learner(network, {"input": SAMPLE}, objectives, settings)
    synchronisation = open_strategy(StrategySettings("horovod!"), learner, framework, group)
    replica = Replica(learner, synchronisation, weighted_sum(objectives))
    replica.synchronise()
    if number:
        state, _ = share(group, lambda: read_sealed(last))
        replica.load_state(state)
    generator = np.random.default_rng(number)
    images, targets = generator.normal(size=(BATCH, *SAMPLE)).astype(np.float32), (generator.integers(0, 10, BATCH),)
    for step in range(STEPS):
        replica.step(StepInput({"input": images}, targets, np.ones(BATCH, np.float32), BATCH * group.size), 1e-3, step)
    learner.outputs({"input": images})
    replica.synchronise()
    seen = learner.outputs({"input": images})[MAIN]
    state = replica.state()
    replica.synchronise()
    same = group.allgather([array.tobytes() for array in (seen, *state.values())])
    assert all(each == same[0] for each in same), "ranks of one group hold different numbers"
    group.barrier()
    if group.rank == 0:
        seal(mine, state, {"round": number})
    replica.close()


def _do_as_upstream() -> None:
    from hpcmtl.training.gluon import learner
    from hpcmtl.training.gluon.collectives.horovod import HorovodCollective
    from hpcmtl.training.gluon.compat import import_horovod

    def nothing(_arrays: Any) -> None:
        """Leaves the arrays unchanged."""

    def broadcast(_engine: HorovodCollective, arrays: Sequence[Any]) -> None:
        for number, array in enumerate(arrays):
            import_horovod().broadcast_(array, root_rank=0, name=f"parameter.{number}")

    learner.restore_default_layout = nothing
    HorovodCollective.broadcast = broadcast


if __name__ == "__main__":
    sys.exit(main())

"""Random choice of the cause and the time of an attempt's end."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

from recovering.runs import TRAINED, rank_of

if TYPE_CHECKING:
    from numpy.random import Generator

    from recovering.runs import Attempt, BenchmarkRun, Shape

STAGES = ("begun", "half", "closed", "before-rename", "after-rename", "done")
PART_LEFT = 0.5
WATCHED = {"HPCMTL_HEARTBEAT": "0.5", "HPCMTL_HUNG_SECONDS": "3"}
# Kind -> relative frequency.
KINDS = {
    "step": 6,
    "all ranks at a step": 2,
    "rank at a step": 3,
    "error on a rank": 1,
    "checkpoint": 3,
    "artifact": 1,
    "ledger": 2,
    "damage": 2,
    "hung rank": 1,
    "full disk": 1,
    "SIGKILL to a rank": 5,
    "SIGKILL to all": 3,
    "SIGKILL to mpirun": 1,
}


@dataclass(frozen=True)
class Moment:
    """Describes the end of an attempt.

    Attributes:
        kind: one of `KINDS`.
        fault: value of HPCMTL_FAULT; empty for an external signal.
        seconds: delay of the signal.
        task: task that is hit at a step; empty if unknown beforehand.
        step: step of the task, over all layers, before which it is hit.
    """

    kind: str
    fault: str = ""
    seconds: float = 0.0
    task: str = ""
    step: int = 0

    @property
    def env(self) -> dict[str, str]:
        """Environment variables of the attempt."""
        return {"HPCMTL_FAULT": self.fault, **(WATCHED if self.kind == "hung rank" else {})} if self.fault else {}


def draw(chance: Generator, run: BenchmarkRun, attempt: int, shape: Shape, longest: float) -> Moment | None:
    """Returns a random end of the next attempt; None in half of the cases in which nothing is left to train.

    Args:
        chance: random generator.
        run: the run before the attempt.
        attempt: number of the attempt, which makes its fault unique.
        shape: size of the job.
        longest: maximum delay of an external signal, in seconds.
    """
    kind = str(chance.choice(list(KINDS), p=[parts / sum(KINDS.values()) for parts in KINDS.values()]))
    if kind.startswith("SIGKILL"):
        return Moment(kind, seconds=float(chance.uniform(0.2, longest)))
    nth, stage, end = int(chance.integers(1, 4)), str(chance.choice(STAGES)), f",attempt={attempt}"
    task, layer, done, steps = _ahead(chance, run, shape)
    if not task and chance.random() < PART_LEFT:
        return None
    at = f"task={task},layer={layer},step={steps}{end}" if task else f"task=last{end}"
    faults = {
        "step": f"kill:{at}",
        "all ranks at a step": f"kill:rank=all,{at}",
        "rank at a step": f"kill:rank={int(chance.integers(2))},step={steps}{end}",
        "error on a rank": f"raise:rank={int(chance.integers(2))},step={steps}{end}",
        "checkpoint": f"kill:checkpoint,stage={stage},nth={nth}{end}",
        "artifact": f"kill:artifact,stage={stage}{end}",
        "ledger": f"kill:ledger,stage={chance.choice(['begun', 'half', 'done'])},nth={4 * nth}{end}",
        "damage": f"{chance.choice(['flip', 'truncate'])}:checkpoint,nth={nth}{end};kill:{at}",
        "hung rank": f"stop:{at}",
        "full disk": f"full:{chance.choice(['checkpoint', 'ledger', 'artifact', 'results'])}{end}",
    }
    known = kind in {"step", "all ranks at a step"} and task
    return Moment(kind, faults[kind], 0.0, task if known else "", done + steps)


def _ahead(chance: Generator, run: BenchmarkRun, shape: Shape) -> tuple[str, int, int, int]:
    """Returns a task, a next layer of it, the steps done at its start, and some further steps; or no task."""
    places = []
    for task in TRAINED:
        first, newest = run.layers_done(task), run.newest(task)
        for layer in range(first, min(first + 2, shape.layers)):
            begin = newest if layer == first else max(newest, layer * shape.steps)
            if begin < (layer + 1) * shape.steps:
                places.append((task, layer, begin, (layer + 1) * shape.steps - begin))
    if not places:
        return "", 0, 0, 1
    task, layer, begin, left = places[int(chance.integers(len(places)))]
    return task, layer, begin, int(chance.integers(left))


def strike(moment: Moment, attempt: Attempt, chance: Generator) -> bool:
    """Sends SIGKILL at the chosen time unless the attempt has ended; returns True if it was sent."""
    end = time.monotonic() + moment.seconds
    while attempt.process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)  # a random time, independent of the run's progress
    living = attempt.processes()
    ranks = [each for each in living if rank_of(each) is not None]
    if moment.kind == "SIGKILL to a rank" and ranks:
        living = [ranks[int(chance.integers(len(ranks)))]]
    elif moment.kind == "SIGKILL to mpirun":
        living = [each for each in living if _name(each) in {"mpirun", "prterun"}] or living
    attempt.kill(living)
    return bool(living)


def _name(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return str(process.name())
    return ""

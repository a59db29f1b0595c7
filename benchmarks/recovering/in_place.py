"""Recovery in place: a random rank is killed and the others continue; measures delay, disturbance and result."""

from __future__ import annotations

import itertools
import sys
import time
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from recovering.runs import ROOT, TRAINED, Attempt, BenchmarkRun, Shape, rank_of
from recovering.watched import FOLDER

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.random import Generator

WIDTHS = {"digit": 2, "parity": 1}  # on four ranks: the fourth replaces a lost rank, so widths stay the same
SECONDS_BEFORE = 1.0  # seconds of the other group's steps before the death, for comparison


def losses(folder: Path, data: Path, count: int, chance: Generator) -> dict[str, Any]:
    """Kills one rank in each of `count` runs.

    Returns:
        ``begun`` and ``step``: seconds from each death until the layer was started again and its first step was done;
            ``before``, ``during``: steps per second of the group without a loss; ``gap``: longest time between two of
            its steps meanwhile, in seconds; ``wrong``: failed checks.
    """
    shape = Shape(data, layers=4, epochs=30, interval=0.5)
    job = shape.job()
    for task, width in WIDTHS.items():
        job["tasks"][task]["ranks"] = width
    job["tasks"]["last"]["ranks"] = 1
    sound = BenchmarkRun.begin(folder / "sound", job)
    if _start(sound).finish():
        raise SystemExit("the undisturbed run fails")
    found: dict[str, Any] = {key: [] for key in ("begun", "step", "before", "during", "gap", "wrong")}
    for number in range(count):
        run = BenchmarkRun.begin(folder / str(number), job)
        text = _one(run, sound, chance, found)
        if text:
            found["wrong"].append(f"run {number}: {text}")
        print(f"{number + 1} runs, {len(found['wrong'])} failed checks {text}", flush=True)
    return found


def _one(run: BenchmarkRun, sound: BenchmarkRun, chance: Generator, found: dict[str, Any]) -> str:
    """Kills a rank of one run and returns its failed checks as text."""
    attempt = _start(run)
    while len(_steps(run)) < len(TRAINED) and attempt.process.poll() is None:
        time.sleep(0.05)  # until both tasks have begun, in other processes
    time.sleep(float(chance.uniform(0.2, 3.0)))
    at_work = {rank: lines[-1][1] for rank, lines in _by_rank(run).items()}
    victim = int(chance.choice(sorted(rank for rank in at_work if rank)))
    attempt.kill([process for process in attempt.processes() if rank_of(process) == str(victim)])
    killed = time.time()
    code, left = attempt.finish(), attempt.leftovers()
    attempt.kill(left)
    if code or left or not run.complete:
        return f"rank {victim} was killed: exit code {code}, left {left}: {attempt.output_end}"
    task = at_work[victim]
    (other,) = set(TRAINED) - {task}
    _measure(_steps(run)[task], _steps(run)[other], killed, found)
    differ = [f"{name}: {key} differs" for name in TRAINED for key in _differing(run, sound, name)]
    lost = [event["rank"] for event in run.events if event["event"] == "rank_lost"]
    return "; ".join(differ + ([] if lost == [victim] else [f"ranks {lost} were lost, {victim} was killed"]))


def _measure(
    hit: list[tuple[float, int, int]], other: list[tuple[float, int, int]], killed: float, found: dict[str, Any]
) -> None:
    """Adds times and rates to `found`, from (time, layer, step) of the task that lost a rank and of the other task."""
    after = [line for line in hit if line[0] > killed]
    again = next((at for at, _, step in after if step == 0), None)
    done = next((at for at, _, step in after if again is not None and at > again and step == 1), None)
    if again is None or done is None:
        return  # it died after all of its steps
    found["begun"].append(again - killed)
    found["step"].append(done - killed)
    times = sorted({(layer, step): at for at, layer, step in reversed(other)}.values())
    before = [each for each in times if killed - SECONDS_BEFORE < each <= killed]
    during = [each for each in times if killed <= each <= done]
    if before and times[-1] > done:
        found["before"].append(len(before) / SECONDS_BEFORE)
        found["during"].append(len(during) / (done - killed))
        found["gap"].append(max(b - a for a, b in itertools.pairwise([killed, *during, done])))


def _differing(run: BenchmarkRun, sound: BenchmarkRun, task: str) -> list[str]:
    expected, arrays = sound.published(task), run.published(task)
    return [name for name in expected if not np.array_equal(expected[name], arrays.get(name))]


def _start(run: BenchmarkRun) -> Attempt:
    folder = run.directory.path / "steps"
    folder.mkdir()
    launcher = [str(ROOT / "launchers" / "mpirun.sh"), "-np", "4"]
    program = [*launcher, sys.executable, "-m", "mpi4py", str(ROOT / "benchmarks" / "recovering" / "watched.py")]
    return Attempt.start(run, 4, {"HPCMTL_FT": "1", FOLDER: str(folder)}, program)


def _by_rank(run: BenchmarkRun) -> dict[int, list[tuple[float, str, int, int]]]:
    """Returns time, task, layer and step of every step begun by each rank."""
    found = {}
    for path in (run.directory.path / "steps").glob("*.txt"):
        lines = [
            line.split() for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line[-1] == "\n"
        ]
        found[int(path.stem)] = [(float(at), task, int(layer), int(step)) for at, task, layer, step in lines]
    return {rank: lines for rank, lines in found.items() if lines}


def _steps(run: BenchmarkRun) -> dict[str, list[tuple[float, int, int]]]:
    """Returns the same by task, over all ranks, in order of time."""
    found: dict[str, list[tuple[float, int, int]]] = {}
    for lines in _by_rank(run).values():
        for at, task, layer, step in lines:
            found.setdefault(task, []).append((at, layer, step))
    return {task: sorted(lines) for task, lines in found.items()}


def print_losses(found: dict[str, Any]) -> None:
    """Prints the results."""
    for key, words in (("begun", "a layer starts again"), ("step", "its first step is done")):
        low, high = np.percentile(found[key], [50, 90])
        print(f"  until {words}: median {low:.2f}, 90th percentile {high:.2f}, most {max(found[key]):.2f}")
    before, during = median(found["before"]), median(found["during"])
    print(f"  steps of the other group: {before:.0f}/s in the second before, {during:.0f}/s meanwhile", end="; ")
    print(f"longest gap {median(found['gap']):.3f} s (median), {max(found['gap']):.3f} s (most)")

"""Kills a run at random moments and resumes it until it is complete, then checks its results."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from recovering.moments import draw, strike
from recovering.runs import TRAINED, Attempt, BenchmarkRun

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.random import Generator

    from recovering.moments import Moment
    from recovering.runs import Shape

OTHERS = (4, 4, 4, 2, 3)  # numbers of ranks to choose from
MOST_ATTEMPTS = 60  # maximum number of attempts per run
SECONDS_REFUSED = 60  # time for ranks of the previous attempt to end after the loss of their mpirun


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Holds the choice of kills.

    Attributes:
        chance: random generator.
        longest: maximum delay of an external signal, in seconds.
        kills: number of kills over all runs.
    """

    chance: Generator
    longest: float
    kills: int


def rounds(folder: Path, shape: Shape, kills: int, chance: Generator) -> dict[str, Any]:
    """Kills `kills` attempts and completes the runs.

    Returns:
        ``kills`` by kind, ``runs``, ``wrong``: failed checks, ``lost``: lost steps of each kill if known, ``steps``:
            steps of a task.
    """
    began, sound = time.monotonic(), BenchmarkRun.begin(folder / "sound", shape.job())
    if (attempt := Attempt.start(sound)).finish():
        raise SystemExit(f"the undisturbed run fails: {attempt.output_end}")
    longest = 1.2 * (time.monotonic() - began)
    found: dict[str, Any] = {
        "kills": Counter(),
        "runs": 0,
        "wrong": [],
        "lost": [],
        "steps": shape.steps * shape.layers,
    }
    while found["kills"].total() < kills:
        run, before = BenchmarkRun.begin(folder / str(found["runs"]), shape.job()), len(found["wrong"])
        one_run(run, shape, Plan(chance=chance, longest=longest, kills=kills), found)
        for text in differences(run, sound, shape):
            note(found, text)
        found["runs"] += 1
        if len(found["wrong"]) == before:
            shutil.rmtree(run.directory.path)
        print(
            f"{found['kills'].total()} kills in {found['runs']} runs, {len(found['wrong'])} failed checks", flush=True
        )
    found["kills"] = dict(found["kills"])
    return found


def one_run(run: BenchmarkRun, shape: Shape, plan: Plan, found: dict[str, Any]) -> None:
    """Kills attempts until there are enough kills or the run is complete; adds failed checks to `found`."""
    chance = plan.chance
    for _ in range(MOST_ATTEMPTS):
        number = 1 + sum(event["event"] == "job_started" for event in run.events)
        moment = draw(chance, run, number, shape, plan.longest) if found["kills"].total() < plan.kills else None
        text, ended = one_attempt(run, moment, chance, found)
        if text:
            note(found, f"attempt {number}, {moment}: {text}")
        if ended:
            return
    note(found, f"not complete after {MOST_ATTEMPTS} attempts")


def note(found: dict[str, Any], text: str) -> None:
    """Stores and prints a failed check."""
    found["wrong"].append(f"run {found['runs']}: {text}")
    print(found["wrong"][-1], flush=True)


def one_attempt(run: BenchmarkRun, moment: Moment | None, chance: Generator, found: dict[str, Any]) -> tuple[str, bool]:
    """Starts and kills an attempt; returns its failed check, and True if it has completed the run."""
    ranks, markers, struck = int(chance.choice(OTHERS)), run.markers(), False
    end = time.monotonic() + SECONDS_REFUSED
    while True:
        attempt = Attempt.start(run, ranks, moment.env if moment else {})
        struck = moment is not None and not moment.fault and strike(moment, attempt, chance)
        try:
            code = attempt.finish()
        except subprocess.TimeoutExpired:
            return f"it hangs: {attempt.output_end}", False
        if code != 3 or "this run goes on" not in attempt.output_end or time.monotonic() > end:
            break
    if left := attempt.leftovers():
        attempt.kill(left)
        return f"processes are left: {left}", False
    if code == 0:
        return "", True
    if not (struck or run.markers().keys() - markers.keys()):
        return f"it ended with {code} by itself: {attempt.output_end}", False
    assert moment is not None
    found["kills"][moment.kind] += 1
    if struck and run.complete:  # the kill came after the record; `differences` checks the record
        return "", True
    if moment.task:
        found["lost"].append(moment.step - run.newest(moment.task))
    return (f"it was killed, but its record says complete (exit code {code})" if run.complete else ""), False


def differences(run: BenchmarkRun, sound: BenchmarkRun, shape: Shape) -> list[str]:
    """Returns the differences between a killed run and the undisturbed one."""
    events = run.events
    done = Counter((event["task"], event["layer"]) for event in events if event["event"] == "layer_ended")
    once = Counter({(task, layer): 1 for task in TRAINED for layer in range(shape.layers)} | {("last", 0): 1})
    found = [f"layers {done - once} were done again, {once - done} not at all"] if done != once else []
    ends = Counter(
        event["task"] for event in events if event["event"] == "task_ended" and event["status"] == "complete"
    )
    if ends != Counter((*TRAINED, "last")):
        found.append(f"tasks completed: {ends}")
    attempts = [event["attempt"] for event in events if event["event"] == "job_started"]
    if attempts != list(range(1, len(attempts) + 1)):
        found.append(f"attempts are numbered {attempts}")
    for task in (*TRAINED, "last"):
        expected, arrays = sound.published(task), run.published(task)
        if expected.keys() != arrays.keys():
            found.append(f"task {task} has {sorted(arrays)}")
        found += [f"{task}: {name} differs" for name in expected if not np.array_equal(expected[name], arrays[name])]
    return found

"""Kill a run at random moments, go on with it, kill it again, until it is complete; then look at what it made."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from recovering.moments import draw, strike
from recovering.runs import TRAINED, Attempt, Kept

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.random import Generator

    from recovering.moments import Moment
    from recovering.runs import Shape

OTHERS = (4, 4, 4, 2, 3)  # numbers of ranks of an attempt
MOST_ATTEMPTS = 60  # of a run
SECONDS_REFUSED = 60  # while ranks of the attempt before, which have lost their mpirun, may still end


def rounds(folder: Path, shape: Shape, kills: int, chance: Generator) -> dict[str, Any]:
    """FenceCommand so many attempts, and complete the runs.

    Returns:
        ``kills`` by kind, ``runs``, ``wrong``: what was, in words, ``lost``: steps at each kill for which they are
        known, ``steps``: of a task.
    """
    began, sound = time.monotonic(), Kept.begin(folder / "sound", shape.job())
    if (attempt := Attempt.start(sound)).finish():
        raise SystemExit(f"the run that nobody disturbs fails: {attempt.said}")
    longest = 1.2 * (time.monotonic() - began)
    found: dict[str, Any] = {
        "kills": Counter(),
        "runs": 0,
        "wrong": [],
        "lost": [],
        "steps": shape.steps * shape.layers,
    }
    while found["kills"].total() < kills:
        run, before = Kept.begin(folder / str(found["runs"]), shape.job()), len(found["wrong"])
        one_run(run, shape, (chance, longest, kills), found)
        for text in differences(run, sound, shape):
            note(found, text)
        found["runs"] += 1
        if len(found["wrong"]) == before:
            shutil.rmtree(run.directory.path)
        print(f"{found['kills'].total()} kills in {found['runs']} runs, {len(found['wrong'])} things wrong", flush=True)
    found["kills"] = dict(found["kills"])
    return found


def one_run(run: Kept, shape: Shape, plan: tuple[Generator, float, int], found: dict[str, Any]) -> None:
    """Kill attempts until there were enough, or one completes the run; what is wrong with them goes to `found`."""
    chance, longest, kills = plan
    for _ in range(MOST_ATTEMPTS):
        number = 1 + sum(event["event"] == "job_started" for event in run.events)
        moment = draw(chance, run, number, shape, longest) if found["kills"].total() < kills else None
        text, ended = one_attempt(run, moment, chance, found)
        if text:
            note(found, f"attempt {number}, {moment}: {text}")
        if ended:
            return
    note(found, f"not complete after {MOST_ATTEMPTS} attempts")


def note(found: dict[str, Any], text: str) -> None:
    """Keep what was wrong, and say it at once."""
    found["wrong"].append(f"run {found['runs']}: {text}")
    print(found["wrong"][-1], flush=True)


def one_attempt(run: Kept, moment: Moment | None, chance: Generator, found: dict[str, Any]) -> tuple[str, bool]:
    """Begin an attempt and have it killed; what was wrong with it, and whether it has completed the run."""
    ranks, markers, struck = int(chance.choice(OTHERS)), run.markers(), False
    end = time.monotonic() + SECONDS_REFUSED
    while True:
        attempt = Attempt.start(run, ranks, moment.env if moment else {})
        struck = moment is not None and not moment.fault and strike(moment, attempt, chance)
        try:
            code = attempt.finish()
        except subprocess.TimeoutExpired:
            return f"it hangs: {attempt.said}", False
        if code != 3 or "this run goes on" not in attempt.said or time.monotonic() > end:
            break
    if left := attempt.leftovers():
        attempt.kill(left)
        return f"processes are left: {left}", False
    if code == 0:
        return "", True
    if not (struck or run.markers().keys() - markers.keys()):
        return f"it ended with {code} by itself: {attempt.said}", False
    assert moment is not None
    found["kills"][moment.kind] += 1
    if struck and run.complete:  # the kill came after the record: whether that is true is for `differences` to say
        return "", True
    if moment.task:
        found["lost"].append(moment.step - run.newest(moment.task))
    return (f"it was killed, but its record says complete (exit code {code})" if run.complete else ""), False


def differences(run: Kept, sound: Kept, shape: Shape) -> list[str]:
    """What a run that was killed has otherwise than the one that nobody disturbed."""
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

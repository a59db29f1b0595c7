"""What the tasks of `soak.py` call, and who asks things of its jobs while they run."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.random import Generator

    from hpcmtl.results.rundir.requests import Request

SECONDS_PAUSED = 0.2
PART_ADDED = 0.1  # of the jobs that get another task: to examine it takes seconds
VERBS = ("pause", "priority", "learning_rate")


def fumble(context: Any) -> None:
    """Raise on all ranks alike in the first calls of a task."""
    calls = Path(context.arguments["calls"])
    count = 0
    if context.group.rank == 0:
        count = int(calls.read_text(encoding="ascii")) + 1 if calls.exists() else 1
        calls.write_text(str(count), encoding="ascii")
    if context.group.bcast(count) <= context.arguments["fails"]:
        raise RuntimeError("on purpose")


class Meddler(threading.Thread):
    """Pauses tasks for a moment, changes their priorities and learning rates, and sometimes adds one."""

    def __init__(self, runs: Path, tasks: dict[str, Any], chance: Generator) -> None:
        """Get ready to meddle with the one job that runs in `runs`."""
        super().__init__(name="meddler", daemon=True)
        self._runs, self._tasks, self._chance = runs, tasks, chance
        self._ended = threading.Event()
        self.asked: list[Request] = []
        self.folder = runs

    def run(self) -> None:
        """Ask until the end of the job."""
        while not (found := list(self._runs.glob("*/events.jsonl"))):
            if self._ended.wait(0.02):
                return
        self.folder = found[0].parent / "requests"
        if self._chance.random() < PART_ADDED:
            self._add()
        while not self._ended.wait(self._chance.uniform(0.05, 0.3)):
            name, verb = str(self._chance.choice(list(self._tasks))), str(self._chance.choice(VERBS))
            if verb == "pause":
                self._ask("pause", name)
                self._ended.wait(SECONDS_PAUSED)
                self._ask("unpause", name)
            elif verb == "priority":
                self._ask("set", name, {"priority": int(self._chance.integers(-1, 3))})
            elif self._tasks[name]["kind"] == "train":
                self._ask("set", name, {"learning_rate": float(self._chance.uniform(0.001, 0.01))})

    def end(self) -> list[str]:
        """Stop asking; the names of the tasks that were added."""
        from hpcmtl.results.rundir.requests import read_answer

        self._ended.set()
        self.join()
        answers = [(request, read_answer(self.folder, request)) for request in self.asked if request.verb == "add"]
        return [name for request, answer in answers if answer and answer.accepted for name in request.values["tasks"]]

    def _ask(self, verb: str, task: str = "", values: dict[str, Any] | None = None) -> None:
        from hpcmtl.results.rundir.requests import new_request, submit

        self.asked.append(new_request(verb, task, values))
        submit(self.folder, self.asked[-1])

    def _add(self) -> None:
        train = next((task for task in self._tasks.values() if task["kind"] == "train"), None)
        if train is not None:
            added = {"added": {**train, "needs": {}}}
            self._ask("add", values={"file": "soak", "folder": str(Path.cwd()), "tasks": added, "data": {}})

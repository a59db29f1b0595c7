"""User code of the tasks of `soak.py`, and random requests to its jobs while they run."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.random import Generator

    from hpcmtl.results.rundir.requests import Request

SECONDS_PAUSED = 0.2
PART_ADDED = 0.1  # fraction of the jobs that get an additional task; its check takes seconds
VERBS = ("pause", "priority", "learning_rate")


def fail_first_calls(context: Any) -> None:
    """Raises on all ranks in the first calls of a task."""
    calls = Path(context.arguments["calls"])
    count = 0
    if context.group.rank == 0:
        count = int(calls.read_text(encoding="ascii")) + 1 if calls.exists() else 1
        calls.write_text(str(count), encoding="ascii")
    if context.group.bcast(count) <= context.arguments["fails"]:
        raise RuntimeError("on purpose")


class RandomRequests(threading.Thread):
    """Sends requests: short pauses, changes of priorities and learning rates, and sometimes a new task."""

    def __init__(self, runs: Path, tasks: dict[str, Any], chance: Generator) -> None:
        """Prepares requests to the only job that runs in `runs`."""
        super().__init__(name="requester", daemon=True)
        self._runs, self._tasks, self._chance = runs, tasks, chance
        self._ended = threading.Event()
        self.sent: list[Request] = []
        self.folder = runs

    def run(self) -> None:
        """Sends requests until the end of the job."""
        while not (found := list(self._runs.glob("*/events.jsonl"))):
            if self._ended.wait(0.02):
                return
        self.folder = found[0].parent / "requests"
        if self._chance.random() < PART_ADDED:
            self._add()
        while not self._ended.wait(self._chance.uniform(0.05, 0.3)):
            name, verb = str(self._chance.choice(list(self._tasks))), str(self._chance.choice(VERBS))
            if verb == "pause":
                self._send("pause", name)
                self._ended.wait(SECONDS_PAUSED)
                self._send("unpause", name)
            elif verb == "priority":
                self._send("set", name, {"priority": int(self._chance.integers(-1, 3))})
            elif self._tasks[name]["kind"] == "train":
                self._send("set", name, {"learning_rate": float(self._chance.uniform(0.001, 0.01))})

    def end(self) -> list[str]:
        """Stops sending and returns the names of the added tasks."""
        from hpcmtl.results.rundir.requests import read_answer

        self._ended.set()
        self.join()
        replies = [(request, read_answer(self.folder, request)) for request in self.sent if request.verb == "add"]
        return [name for request, reply in replies if reply and reply.accepted for name in request.values["tasks"]]

    def _send(self, verb: str, task: str = "", values: dict[str, Any] | None = None) -> None:
        from hpcmtl.results.rundir.requests import new_request, submit

        self.sent.append(new_request(verb, task, values))
        submit(self.folder, self.sent[-1])

    def _add(self) -> None:
        train = next((task for task in self._tasks.values() if task["kind"] == "train"), None)
        if train is not None:
            added = {"added": {**train, "needs": {}}}
            self._send("add", values={"file": "soak", "folder": str(Path.cwd()), "tasks": added, "data": {}})

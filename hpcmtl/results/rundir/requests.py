"""Requests on a running job, as files in its run directory, and their answers.

Whoever asks writes ``<id>.json``; rank 0 takes it by renaming it to ``<id>.taken.json`` and answers in
``<id>.answer.json``. All are renamed into place, so that nobody reads half a file, and as a rename succeeds once, a
request is either taken or withdrawn, never both.
"""

from __future__ import annotations

import getpass
import json
import os
import socket
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from hpcmtl.results.rundir.directory import write_json_atomically

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_ENDING, _TAKEN, _ANSWER = ".json", ".taken.json", ".answer.json"


@dataclass(frozen=True)
class Request:
    """What somebody wants of a running job.

    Attributes:
        id: unique; ids sort by the time of the request.
        verb: ``set``, ``pause``, ``unpause``, ``cancel`` or ``add``.
        by: user and host.
        task: which task; empty for ``add``, and for the ``cancel`` of the whole job.
        values: of ``set``: ``priority`` and ``learning_rate``; of ``add``: ``file``, ``tasks`` and ``data``.
    """

    id: str
    verb: str
    by: str
    task: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)

    def to_event(self) -> dict[str, Any]:
        """What the ledger is told of it."""
        values = {key: list(value) if isinstance(value, dict) else value for key, value in self.values.items()}
        return {"request": self.id, "verb": self.verb, "by": self.by, "task": self.task, "values": values}


@dataclass(frozen=True)
class Answer:
    """What became of a request; `message` says why it was refused, or what follows from it."""

    accepted: bool
    message: str


def new_request(verb: str, task: str = "", values: Mapping[str, Any] | None = None) -> Request:
    """A request of this user, now."""
    name = f"{datetime.now(timezone.utc):%Y%m%dT%H%M%S.%f}-{uuid.uuid4().hex[:8]}"
    return Request(name, verb, f"{_user()}@{socket.gethostname()}", task, dict(values or {}))


def submit(folder: Path, request: Request) -> None:
    """Leave a request in a run's `requests` folder."""
    folder.mkdir(exist_ok=True)
    fields = {"verb": request.verb, "by": request.by, "task": request.task, "values": request.values}
    write_json_atomically(folder / (request.id + _ENDING), fields)


def withdraw(folder: Path, request: Request) -> bool:
    """Take a request back; False if the job has taken it."""
    try:
        (folder / (request.id + _ENDING)).unlink()
    except FileNotFoundError:
        return False
    return True


def take(folder: Path) -> list[Request | str]:
    """Take what waits, the oldest first; of a file that is no request, its id. What was answered before is dropped."""
    taken: list[Request | str] = []
    for name in _waiting(folder):
        if (folder / (name + _ANSWER)).exists():
            (folder / (name + _ENDING)).unlink(missing_ok=True)
            continue
        try:
            (folder / (name + _ENDING)).rename(folder / (name + _TAKEN))
        except FileNotFoundError:
            continue  # withdrawn a moment ago
        taken.append(_read(folder, name))
    return taken


def give_answer(folder: Path, request: str, answer: Answer) -> None:
    """Answer the request with this id."""
    write_json_atomically(folder / (request + _ANSWER), answer)


def read_answer(folder: Path, request: Request) -> Answer | None:
    """The answer to a request, if there is one."""
    try:
        return Answer(**json.loads((folder / (request.id + _ANSWER)).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None


def _waiting(folder: Path) -> list[str]:
    """Ids of the requests that nobody has taken, in order."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries]
    except FileNotFoundError:
        return []
    waiting = [name for name in names if name.endswith(_ENDING) and not name.endswith((_TAKEN, _ANSWER))]
    return sorted(name.removesuffix(_ENDING) for name in waiting if not name.startswith("."))


def _read(folder: Path, name: str) -> Request | str:
    try:
        fields = json.loads((folder / (name + _TAKEN)).read_text(encoding="utf-8"))
        return Request(name, str(fields["verb"]), str(fields["by"]), str(fields["task"]), dict(fields["values"]))
    except (ValueError, TypeError, KeyError):
        return name


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a name for this user
        return str(os.getuid())

"""Requests to a running job, as files in its run directory, and their answers.

A user's command writes ``<id>.json``. Rank 0 takes it by renaming it to ``<id>.taken.json``, and answers in
``<id>.answer.json``. All files are renamed into place, so that a reader never sees half a file. As a rename succeeds
once, a request is either taken or withdrawn, never both.

A request may name code that runs as the owner of the job. So the folder is the owner's alone, and a file counts only if
it is a regular one, not a link, not too large, and belongs to that user.
"""

from __future__ import annotations

import getpass
import json
import os
import pwd
import socket
import stat
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from hpcmtl.results.rundir.directory import write_json_atomically

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LARGEST = 16 << 20
"""Largest size of a request in bytes; added tasks of 10,000 lines have 1 MiB."""

_SHOWN = 200  # characters of another user's text in a message
_ENDING, _TAKEN, _ANSWER = ".json", ".taken.json", ".answer.json"


@dataclass(frozen=True)
class Request:
    """A user's request to a running job.

    Attributes:
        id: unique id; ids sort by the time of the request.
        verb: ``set``, ``pause``, ``unpause``, ``cancel`` or ``add``.
        by: user and host.
        task: name of the task; empty for ``add``, and for the ``cancel`` of the whole job.
        values: values of ``set``, ``priority`` and ``learning_rate``, or of ``add``, ``file``, ``tasks`` and ``data``.
    """

    id: str
    verb: str
    by: str
    task: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)

    def to_event(self) -> dict[str, Any]:
        """Returns the fields of the event for the ledger; of added tasks and data only the names."""
        values = {key: list(value) if isinstance(value, dict) else value for key, value in self.values.items()}
        return {"request": self.id, "verb": self.verb, "by": self.by, "task": self.task, "values": values}


@dataclass(frozen=True)
class Unreadable:
    """A file in the folder that is no request.

    Attributes:
        id: name of the file, without its ending.
        reason: why it is none.
    """

    id: str
    reason: str


@dataclass(frozen=True)
class Answer:
    """The answer to a request; `message` is the reason of a refusal, or the consequence of an acceptance."""

    accepted: bool
    message: str


def new_request(verb: str, task: str = "", values: Mapping[str, Any] | None = None) -> Request:
    """Returns a request of this user at this time."""
    name = f"{datetime.now(timezone.utc):%Y%m%dT%H%M%S.%f}-{uuid.uuid4().hex[:8]}"
    return Request(name, verb, f"{_user()}@{socket.gethostname()}", task, dict(values or {}))


def submit(folder: Path, request: Request) -> None:
    """Writes a request to the `requests` folder of a run."""
    folder.mkdir(mode=stat.S_IRWXU, exist_ok=True)
    fields = {"verb": request.verb, "by": request.by, "task": request.task, "values": request.values}
    write_json_atomically(folder / (request.id + _ENDING), fields)


def withdraw(folder: Path, request: Request) -> bool:
    """Withdraws a request; returns False if the job has taken it."""
    try:
        (folder / (request.id + _ENDING)).unlink()
    except FileNotFoundError:
        return False
    return True


def take(folder: Path) -> list[Request | Unreadable]:
    """Takes the waiting requests, oldest first, and names the files that are none. Answered ones are dropped."""
    taken: list[Request | Unreadable] = []
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
    """Writes the answer to the request with this id."""
    write_json_atomically(folder / (request + _ANSWER), answer)


def read_answer(folder: Path, request: Request) -> Answer | None:
    """Returns the answer to a request; None if there is none yet."""
    try:
        return Answer(**json.loads((folder / (request.id + _ANSWER)).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None


def _waiting(folder: Path) -> list[str]:
    """Returns the ids of the requests that rank 0 has not taken, in order."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries]
    except FileNotFoundError:
        return []
    waiting = [name for name in names if name.endswith(_ENDING) and not name.endswith((_TAKEN, _ANSWER))]
    return sorted(name.removesuffix(_ENDING) for name in waiting if not name.startswith("."))


def _read(folder: Path, name: str) -> Request | Unreadable:
    try:
        content, owner = _content(folder / (name + _TAKEN))
        fields = json.loads(content)
        host = str(fields["by"]).rpartition("@")[2]
        return Request(
            name, _text(fields["verb"]), f"{owner}@{_text(host)}", _text(fields["task"]), dict(fields["values"])
        )
    except (ValueError, TypeError, KeyError, RecursionError, OSError) as error:
        reason = error.args[0] if isinstance(error, _NotOursError) else "this version of hpcmtl cannot read it"
        return Unreadable(name, f"this is no request: {reason}")


class _NotOursError(ValueError):
    """A file whose content must not be read."""


def _content(path: Path) -> tuple[bytes, str]:
    """Returns the bytes and the user of a regular file of this user's.

    Raises:
        _NotOursError: it is another kind of file, too large, or belongs to another user.
        OSError: it cannot be read, or is a link.
    """
    # Not blocking: a pipe would wait for its writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        owner = _owner(os.fstat(descriptor))
        content = b""
        while len(content) <= LARGEST and (part := os.read(descriptor, LARGEST + 1)):
            content += part
    finally:
        os.close(descriptor)
    if len(content) > LARGEST:
        raise _NotOursError(f"it is larger than {LARGEST >> 20} MiB")
    return content, owner


def _owner(found: os.stat_result) -> str:
    if not stat.S_ISREG(found.st_mode):
        raise _NotOursError("it is no regular file")
    if found.st_uid not in {os.geteuid(), 0}:
        raise _NotOursError(f"it belongs to {_name_of(found.st_uid)}, and the job to {_name_of(os.geteuid())}")
    return _name_of(found.st_uid)


def _text(value: object) -> str:
    """Returns the text of a user without characters that a terminal would obey."""
    text = str(value)[:_SHOWN]
    return "".join(each if each.isprintable() else "?" for each in text)


def _name_of(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:  # a container without a name for this user
        return str(user)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a name for this user
        return str(os.getuid())

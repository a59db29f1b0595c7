"""The ledger: an append-only log of events, one JSON object a line, each on disk before `append` returns.

A line counts once its newline is written. A process that is killed during a write leaves at most one torn line, the
last. `read` ignores it, and the next `Ledger` on the file cuts it off. Damage anywhere else is an error.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import logging
import os
import threading
from datetime import datetime, timezone
from time import sleep
from typing import TYPE_CHECKING, Any, NamedTuple, final

from hpcmtl import faults
from hpcmtl.errors import InputError, Problem, naming_no_space
from hpcmtl.results.event_format import EARLIER_FORMATS, FIRST_FORMAT, from_fields, to_fields, upgrade
from hpcmtl.results.events import FORMAT, JobStarted
from hpcmtl.results.rundir.directory import fsync_directory
from hpcmtl.results.strict_json import to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from hpcmtl.results.events import RunEvent


_log = logging.getLogger(__name__)

_LOOKS, _SECONDS_OF_A_LOOK = 10, 0.02

_noted: set[Path] = set()  # ledgers whose unknown events were named in the log


def _utc_now() -> datetime:
    return datetime.now(timezone.utc)


@final
class Ledger:
    """The writer of one ledger file, for one process and any of its threads.

    Raises:
        InputError: the file exists and a line in it is damaged.
    """

    def __init__(self, path: Path, clock: Callable[[], datetime] = _utc_now) -> None:
        self.path = path
        self._clock = clock
        self._lock = threading.Lock()
        whole = parse(path.read_bytes(), path)[1] if path.exists() else 0
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        if not _lock(self._descriptor):
            os.close(self._descriptor)
            raise InputError([Problem(str(path), "another process has this ledger open: the run is in progress there")])
        os.ftruncate(self._descriptor, whole)
        os.fsync(self._descriptor)
        fsync_directory(path.parent)

    def append(self, event: RunEvent, at: float | None = None) -> None:
        """Appends one event and forces it to disk.

        Args:
            event: the event.
            at: its time in seconds since 1970; that of the clock by default.

        Raises:
            OSError: the event could not be written; the ledger is then as it was before.
        """
        with self._lock, naming_no_space(self.path):
            now = self._clock() if at is None else datetime.fromtimestamp(at, timezone.utc)
            time = now.astimezone(timezone.utc).isoformat(timespec="milliseconds")
            line = (to_json({"time": time, "event": event.name, **to_fields(event)}) + "\n").encode()
            before = os.fstat(self._descriptor).st_size
            faults.file_point(self.path, "begun")
            written = os.write(self._descriptor, faults.partial_write(self.path, line))
            faults.file_point(self.path, "half")
            if written != len(line):  # the disk filled up in the middle of the line
                os.ftruncate(self._descriptor, before)
                raise OSError(errno.ENOSPC, f"only {written} of {len(line)} bytes could be written", str(self.path))
            os.fsync(self._descriptor)
            faults.file_point(self.path, "done")

    def close(self) -> None:
        """Closes the file; all events are on disk already."""
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read(path: Path) -> list[dict[str, Any]]:
    """Returns all events of a ledger as JSON objects in the present format, in order, without a torn last line.

    Raises:
        InputError: the file cannot be read, or a line before the last is damaged.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError([Problem(str(path), f"the ledger cannot be read: {error.strerror}")]) from error
    return list(map(FormatUpgrade(), parse(data, path)[0]))


class LedgerEntry(NamedTuple):
    """An event of a ledger.

    Attributes:
        event: the event.
        at: seconds since 1970 at which it was written.
    """

    event: RunEvent
    at: float


def read_events(path: Path) -> list[LedgerEntry]:
    """Returns all events of a ledger that this version knows, in order, without a torn last line.

    Events of newer versions are passed over with one warning a file.

    Raises:
        InputError: the file cannot be read, or a line before the last is damaged or is not what its event needs.
    """
    return entries_of(enumerate(read(path), 1), path)


def entries_of(lines: Iterable[tuple[int, Mapping[str, Any]]], path: Path) -> list[LedgerEntry]:
    """Returns the entries of numbered lines in the present format, see `read_events`.

    Raises:
        InputError: a line is not what its event needs.
    """
    entries, unknown = [], set()
    for number, line in lines:
        try:
            event = from_fields(line["event"], line)
            at = datetime.fromisoformat(line["time"]).timestamp()
        except (ArithmeticError, KeyError, TypeError, ValueError) as error:
            message = f"this version of hpcmtl cannot read this event ({_in_one_line(error)})"
            raise InputError([Problem(str(path), message, line=number)]) from error
        if event is None:
            unknown.add(line["event"])
        else:
            entries.append(LedgerEntry(event, at))
    if unknown and path not in _noted:
        _noted.add(path)
        _log.warning("%s: events of a newer version of hpcmtl are passed over: %s", path, ", ".join(sorted(unknown)))
    return entries


def _in_one_line(error: Exception) -> str:
    """Returns the text of an error; of a validation error its first finding."""
    if isinstance(error, KeyError):
        return f"{error} is missing"
    findings = getattr(error, "errors", None)
    if findings is None:
        return str(error)
    first = findings(include_url=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}, found {first['input']!r:.80}"


def is_held(path: Path) -> bool:
    """Returns true if a process has locked the ledger for writing; some file systems lock within one host only."""
    try:
        descriptor = os.open(path, os.O_RDWR)  # NFS locks exclusively only what may be written
    except FileNotFoundError:
        return False
    try:
        return not _lock(descriptor)
    finally:
        os.close(descriptor)


def is_free(path: Path) -> bool:
    """Returns true if surely no process of this host has locked a file; false where that cannot be found out."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError as error:
        return isinstance(error, FileNotFoundError)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # does not need the right to write
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def lock_soon(descriptor: int) -> None:
    """Locks a file for this process alone; waits for a process that only looks whether it is free (see `is_free`).

    Raises:
        BlockingIOError: another process keeps the lock.
        OSError: the file system has no locks.
    """
    for _ in range(_LOOKS):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        sleep(_SECONDS_OF_A_LOOK)  # a lock has no wait with a limit
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _lock(descriptor: int) -> bool:
    """Takes the lock of a ledger until the end of the process; returns False if another process has it."""
    try:
        lock_soon(descriptor)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, 524}:  # 524: of NFS
            raise
    return True


def parse(data: bytes, path: Path, first: int = 1) -> tuple[list[dict[str, Any]], int]:
    """Returns the events in whole lines, as they were written, and the length in bytes of these lines.

    Args:
        data: the file, or the rest of it.
        path: its path, for errors.
        first: number of the first line of `data`.

    Raises:
        InputError: a line before the last is damaged.
    """
    events = []
    whole = 0
    *lines, unended = data.split(b"\n")
    if (all_of_them := _events_at_once(lines)) is not None:
        return all_of_them, len(data) - len(unended)
    for number, line in enumerate(lines, 1):
        event = _event(line)
        if event is None:
            if number == len(lines) and not unended:  # blocks of the last write may reach the disk out of order
                break
            message = "this line is no event; the ledger was edited or the disk lost data, so what is done is unknown"
            raise InputError([Problem(str(path), message, line=number + first - 1)])
        events.append(event)
        whole += len(line) + 1
    return events, whole


def _events_at_once(lines: Sequence[bytes]) -> list[dict[str, Any]] | None:
    """Returns the events of sound lines, in a fifth of the time that one after the other takes; None if one is not."""
    if not all(line.startswith(b"{") and line.endswith(b"}") for line in lines):
        return None
    try:
        values = json.loads(b"[" + b",".join(lines) + b"]")
    except ValueError:
        return None
    sound = len(values) == len(lines) and all(_is_event(value) for value in values)
    return values if sound else None


class FormatUpgrade:
    """Converts events, in their order, to the present format; each `JobStarted` says that of the events after it."""

    def __init__(self) -> None:
        self._version: Any = FORMAT

    def __call__(self, event: dict[str, Any]) -> dict[str, Any]:
        """Returns the event in the present format."""
        if event["event"] == JobStarted.name:
            self._version = event.get("format", FIRST_FORMAT)
        if self._version not in EARLIER_FORMATS:
            return event
        values = {key: value for key, value in event.items() if key not in {"time", "event"}}
        name, fields = upgrade(event["event"], values, self._version)
        return {**({"time": event["time"]} if "time" in event else {}), "event": name, **fields}


def _event(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if _is_event(value) else None


def _is_event(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("event"), str)

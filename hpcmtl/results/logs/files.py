"""A reader of the growing log files of a run: over new attempts, new files and files that begin again."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hpcmtl.errors import InputError, Problem
from hpcmtl.results.logs.lines import LogLine, concerns, parse_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hpcmtl.results.rundir.directory import RunDirectory

_RANK = re.compile(r"rank\.(\d+)\.log", re.ASCII)
_MOST_BYTES = 1 << 24  # bytes of one file in one read, so that a large log does not fill the memory


@dataclass(frozen=True)
class Wanted:
    """The selection of lines: of one rank, of one task, of both, or the output of the run; and by their level.

    Attributes:
        rank: rank whose log is read; None for no restriction.
        task: task that the lines must concern, from the logs of all ranks; empty for no restriction.
        debug: whether lines of level DEBUG belong to it.
    """

    rank: int | None = None
    task: str = ""
    debug: bool = True

    def has(self, line: LogLine) -> bool:
        """Returns true for a line of the selection; those without a level are never left out for it."""
        return (self.debug or line.level != "DEBUG") and (not self.task or concerns(line, self.task))


@dataclass
class _Reading:
    """The position in a file, and its last line, which may continue."""

    offset: int = 0
    rest: bytes = b""
    before: LogLine | None = None


@dataclass
class LogReader:
    """Reads the new lines in the logs of a run.

    Attributes:
        run: run directory.
        wanted: selection of lines.
    """

    run: RunDirectory
    wanted: Wanted = Wanted()
    _readings: dict[Path, _Reading] = field(default_factory=dict)

    def files(self) -> list[Path]:
        """Returns the files to read now: the selected ones, else the batch output, else the log of rank 0."""
        try:
            there = sorted(self.run.logs.iterdir())
        except OSError:
            return []
        ranks = {int(found[1]): path for path in there if (found := _RANK.fullmatch(path.name))}
        if self.wanted.rank is not None:
            return [ranks[self.wanted.rank]] if self.wanted.rank in ranks else []
        if self.wanted.task:
            return list(ranks.values())
        batch = [path for path in there if path.suffix in {".out", ".err"}]
        return batch or [path for rank, path in ranks.items() if rank == 0]

    def require(self) -> None:
        """Refuses a rank that has no log, once the run has logs.

        Raises:
            InputError: there are logs, but none of this rank.
        """
        there = [path.name for path in self.run.logs.glob("rank.*.log")] if self.run.logs.is_dir() else []
        if self.wanted.rank is not None and there and not self.files():
            place = f"{self.run.logs}: --rank {self.wanted.rank}"
            have = f"{len(there)} ranks have one, {min(there)} to {max(there)}"
            have = f"1 rank has one, {there[0]}" if len(there) == 1 else have
            raise InputError([Problem(place, f"there is no such log; {have}")])

    def read(self, *, last: bool = False) -> list[LogLine]:
        """Returns the new lines since the last call; lines of several files are in the order of their times.

        Args:
            last: true if nothing more will be written, so that a line without its end is a whole line.
        """
        lines = [line for path in self.files() for line in self._read(path, last=last) if self.wanted.has(line)]
        return sorted(lines, key=lambda line: line.time) if len(self._readings) > 1 else lines

    def _read(self, path: Path, *, last: bool) -> Iterator[LogLine]:
        reading = self._readings.setdefault(path, _Reading())
        try:
            with path.open("rb") as file:
                if path.stat().st_size < reading.offset:  # a requeue without --open-mode=append begins it again
                    reading.offset, reading.rest, reading.before = 0, b"", None
                file.seek(reading.offset)
                while data := file.read(_MOST_BYTES):
                    reading.offset += len(data)
                    *whole, reading.rest = (reading.rest + data).split(b"\n")
                    yield from self._parsed(path, reading, whole)
        except OSError:  # the file or its file system is away, perhaps for a moment: the next call reads again
            return
        if last and reading.rest:
            rest, reading.rest = reading.rest, b""
            yield from self._parsed(path, reading, [rest])

    @staticmethod
    def _parsed(path: Path, reading: _Reading, lines: list[bytes]) -> Iterator[LogLine]:
        for line in lines:
            reading.before = parse_line(path.name, line.decode("utf-8", "replace"), reading.before)
            yield reading.before

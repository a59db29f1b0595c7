"""The log files of a run, read as they grow: over new attempts, new files and files that begin again."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hpcmtl.errors import InputError, Problem
from hpcmtl.results.logs.lines import LogLine, parse_line, tells_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hpcmtl.results.rundir.directory import RunDirectory

_RANK = re.compile(r"rank\.(\d+)\.log", re.ASCII)
_MOST_BYTES = 1 << 24  # of one file at one look, so that a large log does not fill the memory


@dataclass(frozen=True)
class Wanted:
    """Which lines: of one rank, of one task, of both, or the run's own output.

    Attributes:
        rank: only of this rank's log.
        task: only lines that tell of this task, from the logs of all ranks.
    """

    rank: int | None = None
    task: str = ""


@dataclass
class _Reading:
    """How far a file is read, and its last line, which may go on."""

    offset: int = 0
    rest: bytes = b""
    before: LogLine | None = None


@dataclass
class LogReader:
    """Reads what is new in the logs of a run.

    Attributes:
        run: whose.
        wanted: which lines.
    """

    run: RunDirectory
    wanted: Wanted = Wanted()
    _readings: dict[Path, _Reading] = field(default_factory=dict)

    def files(self) -> list[Path]:
        """The files to read, as they are now: what is wanted, else the batch output, else rank 0's log."""
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
        """Refuse a rank that has no log.

        Raises:
            InputError: there is no such file, nor one of a higher rank; before the run has logs nobody knows.
        """
        there = [path.name for path in self.run.logs.glob("rank.*.log")] if self.run.logs.is_dir() else []
        if self.wanted.rank is not None and there and not self.files():
            place = f"{self.run.logs}: --rank {self.wanted.rank}"
            raise InputError(
                [Problem(place, f"there is no such log; {len(there)} ranks have one, {min(there)} to {max(there)}")]
            )

    def read(self, *, last: bool = False) -> list[LogLine]:
        """New lines since the last call, those of several files by their time.

        Args:
            last: nothing more will be written, so a line without its end is a line.
        """
        lines = [line for path in self.files() for line in self._read(path, last=last)]
        lines = [line for line in lines if not self.wanted.task or tells_of(line, self.wanted.task)]
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
        except OSError:  # it went away, or its file system did for a moment: the next look will tell
            return
        if last and reading.rest:
            rest, reading.rest = reading.rest, b""
            yield from self._parsed(path, reading, [rest])

    @staticmethod
    def _parsed(path: Path, reading: _Reading, lines: list[bytes]) -> Iterator[LogLine]:
        for line in lines:
            reading.before = parse_line(path.name, line.decode("utf-8", "replace"), reading.before)
            yield reading.before

"""Lines of the ranks' logs as values; pure. See `hpcmtl.logs` for their form."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

_LINE = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) (?P<level>[A-Z]+) +rank=(?P<rank>\d+) layer=(?P<layer>\S+) "
    r"(?P<logger>[\w.]+): (?P<message>.*)",
    re.ASCII,
)


@dataclass(frozen=True)
class LogLine:
    """One line of a log.

    Attributes:
        file: name of the file.
        text: whole line without its end.
        time: local time as written; a line that continues the one before, e.g. of a traceback, has the time of that.
        level: DEBUG, INFO, ...; empty where none is written, as in batch output.
        rank: number of the rank that wrote it; None where none is written.
        task: task that the rank worked for; empty for none.
        layer: layer of that task; None for none.
        logger: module that wrote it.
        message: rest of the line.
    """

    file: str
    text: str
    time: str = ""
    level: str = ""
    rank: int | None = None
    task: str = ""
    layer: int | None = None
    logger: str = ""
    message: str = ""


def parse_line(file: str, text: str, before: LogLine | None = None) -> LogLine:
    """Returns a line of a file as a value, given the line before it in the same file."""
    found = _LINE.fullmatch(text)
    if found is None:
        if before is None:
            return LogLine(file, text, message=text)
        return replace(before, text=text, message=text)
    task, _, layer = found["layer"].rpartition("/")
    known = bool(task) and layer.isdecimal()
    return LogLine(
        file,
        text,
        found["time"],
        found["level"],
        int(found["rank"]),
        task if known else "",
        int(layer) if known else None,
        found["logger"],
        found["message"],
    )


def concerns(line: LogLine, task: str) -> bool:
    """Returns true if a line was written at work on a task, or names it: rank 0 writes of the tasks of other ranks."""
    if line.task == task:
        return True
    return re.search(rf"(?<![\w.-]){re.escape(task)}(?![\w-])", line.message) is not None

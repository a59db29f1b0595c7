"""Lists of hosts that a run starts its ranks on, as mpirun takes them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpcmtl.errors import InputError, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

REMEDY = "write --hosts node1:4,node2:4, or in the file of --hostfile one line for each host: node1 slots=4"
_ENTRY = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*):(?P<slots>[1-9][0-9]{0,5})")
_LINE = re.compile(r"(?P<name>\S+)\s+slots=(?P<slots>\d+)")


@dataclass(frozen=True)
class Host:
    """Names a host.

    Attributes:
        name: name or address, as ssh takes it.
        slots: number of ranks that it may run, at least 1.
    """

    name: str
    slots: int

    def __str__(self) -> str:
        return f"{self.name}:{self.slots}"


def parse_hosts(text: str) -> tuple[Host, ...]:
    """Reads a list of the form ``node1:4,node2:4``.

    Raises:
        InputError: an entry has another form, or a host is given twice.
    """
    entries = [entry.strip() for entry in text.split(",")]
    matches = [_ENTRY.fullmatch(entry) for entry in entries]
    problems = [
        Problem("hosts", f"{entry!r} is no NAME:SLOTS; {REMEDY}")
        for entry, match in zip(entries, matches, strict=True)
        if match is None
    ]
    hosts = tuple(Host(match["name"], int(match["slots"])) for match in matches if match)
    names = [host.name for host in hosts]
    problems += [Problem("hosts", f"{name} is given {names.count(name)} times; {REMEDY}") for name in _twice(names)]
    if problems:
        raise InputError(problems)
    return hosts


def read_hostfile(path: Path) -> tuple[Host, ...]:
    """Reads a file with one line ``node1 slots=4`` for each host; ``#`` begins a comment.

    Raises:
        InputError: the file cannot be read, or a line has another form.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError([Problem(str(path), f"the host file cannot be read: {error}")]) from None
    entries, problems = [], []
    for number, line in enumerate(lines, start=1):
        text = line.partition("#")[0].strip()
        match = _LINE.fullmatch(text)
        if match:
            entries.append(f"{match['name']}:{match['slots']}")
        elif text:
            problems.append(Problem(str(path), f"{text!r} is no 'NAME slots=SLOTS'", number))
    if problems or not entries:
        raise InputError(problems or [Problem(str(path), f"the host file names no host; {REMEDY}")])
    return parse_hosts(",".join(entries))


def chosen_hosts(hosts: str | None, hostfile: Path | None) -> tuple[Host, ...]:
    """Returns the hosts of the options --hosts and --hostfile; none if neither is given.

    Raises:
        InputError: both are given, or a list is invalid.
    """
    if hosts is not None and hostfile is not None:
        raise InputError([Problem("--hosts", "is given beside --hostfile; leave one out")])
    if hostfile is not None:
        return read_hostfile(hostfile)
    return () if hosts is None else parse_hosts(hosts)


def slots_of(hosts: Sequence[Host], ranks: int | None) -> int | None:
    """Returns the number of ranks for these hosts: `ranks` if given, else all slots; None without hosts and ranks.

    Raises:
        InputError: the ranks do not fit into the slots.
    """
    slots = sum(host.slots for host in hosts)
    if not hosts or ranks is None:
        return slots or ranks
    if ranks > slots:
        listed = ",".join(map(str, hosts))
        raise InputError([Problem("--ranks", f"{ranks} ranks do not fit into the {slots} slots of {listed}")])
    return ranks


def _twice(names: Sequence[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})

"""Reads a ledger while it grows, each time only the lines that are new."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hpcmtl.errors import InputError, Problem
from hpcmtl.results.ledger import FormatUpgrade, entries_of, parse

if TYPE_CHECKING:
    from pathlib import Path

    from hpcmtl.results.ledger import LedgerEntry


class LedgerTail:
    """Represents a ledger of which some lines have been read.

    Args:
        path: the ledger, which need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._upgrade = FormatUpgrade()
        self._bytes = self._lines = 0
        self._file: tuple[int, int] | None = None

    def new_entries(self) -> list[LedgerEntry] | None:
        """Returns the entries since the last call, as `ledger.read_events` does; None for another file than then.

        Raises:
            InputError: the file cannot be read, or a line before the last is damaged or is not what its event needs.
        """
        try:
            with self._path.open("rb") as file:
                found = os.fstat(file.fileno())
                identity = (found.st_dev, found.st_ino)
                if self._file not in {None, identity} or found.st_size < self._bytes:
                    return None
                self._file = identity
                file.seek(self._bytes)
                data = file.read()
        except FileNotFoundError:
            return [] if self._file is None else None
        except OSError as error:
            raise InputError([Problem(str(self._path), f"the ledger cannot be read: {error.strerror}")]) from error
        events, whole = parse(data, self._path, self._lines + 1)
        lines = list(enumerate(map(self._upgrade, events), self._lines + 1))
        self._bytes, self._lines = self._bytes + whole, self._lines + len(events)
        return entries_of(lines, self._path)

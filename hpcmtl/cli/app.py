"""The `hpcmtl` command: prepares its process, runs a subcommand, and ends without a traceback.

It imports no library before `leave_out_foreign` has been called: PYTHONPATH may have another one in its place.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hpcmtl.errors import ExitCode, HpcmtlError, naming_no_permission
from hpcmtl.launch.environment import rank_environment
from hpcmtl.launch.interpreter import (
    ignore_strict_warnings,
    imports,
    leave_inspection,
    leave_out_foreign,
    leave_out_working_directory,
    open_standard_streams,
)
from hpcmtl.logs import harmless

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Buffer

_STDOUT = "<stdout>"
_CANNOT_WRITE = frozenset({errno.ENOSPC, errno.EPIPE, errno.EIO, errno.EBADF, errno.EDQUOT, errno.EFBIG})


def main() -> None:
    """Runs the command; an error of hpcmtl ends it with the error's exit code and no traceback."""
    leave_inspection()
    leave_out_working_directory()
    sentences = [*open_standard_streams(), *leave_out_foreign(), *ignore_strict_warnings()]
    place = rank_environment()
    for sentence in sentences if place is None or place.rank == 0 else ():
        _say(sentence)
    try:
        with imports():
            from hpcmtl.cli.verbs import app

        with _output_written(), naming_no_permission():
            app()
    except HpcmtlError as error:
        _say(str(error))
        sys.exit(error.exit_code)


class _StandardOutput(io.FileIO):
    """Standard output, whose name is in its errors: those of other files often have none."""

    def write(self, data: Buffer) -> int:
        """Writes bytes, as `io.FileIO` does."""
        try:
            return super().write(data)
        except OSError as error:
            error.filename = _STDOUT
            raise


@contextmanager
def _output_written() -> Iterator[None]:
    """Ends the command with a sentence if its output cannot be written, and without one if its reader has left."""
    given, own = sys.stdout, sys.stdout is sys.__stdout__
    if not own:  # a file of a program that calls `main`, whose errors are no matter of the command
        yield
        return
    given.flush()
    raw = _StandardOutput(1, "w", closefd=False)
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=given.encoding,
        errors=given.errors,
        line_buffering=bool(os.environ.get("PYTHONUNBUFFERED")) or raw.isatty(),
    )
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OSError as error:
        if error.errno not in _CANNOT_WRITE or error.filename != _STDOUT:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the interpreter flushes once more at its end
        if error.errno == errno.EPIPE:
            sys.exit(1)
        _say(f"standard output cannot be written ({error.strerror}): free space, or send it elsewhere")
        sys.exit(ExitCode.ENVIRONMENT_UNFIT)
    finally:
        sys.stdout = given


def _say(text: str) -> None:
    print(f"hpcmtl: {harmless(text)}", file=sys.stderr, flush=True)  # noqa: T201 - output of the command

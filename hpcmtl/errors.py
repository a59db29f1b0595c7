"""Exceptions of hpcmtl; the lowest module, so that every room can raise them.

The exit code of the program follows from the class: see `ExitCode`.
"""

from __future__ import annotations

import difflib
import enum
import errno
import os
import pwd
import sysconfig
import traceback
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class ExitCode(enum.IntEnum):
    """The documented exit codes of `hpcmtl`; batch systems and scripts rely on them."""

    COMPLETE = 0
    TASK_FAILED = 1
    BAD_INPUT = 2
    ENVIRONMENT_UNFIT = 3
    STOPPED = 75  # EX_TEMPFAIL: stopped with checkpoints, can be resumed


class HpcmtlError(Exception):
    """Base class of all errors that hpcmtl raises intentionally."""

    exit_code = ExitCode.TASK_FAILED


@dataclass(frozen=True)
class Problem:
    """Describes one problem in the user's input.

    Attributes:
        where: file and key, e.g. ``job.yaml: tasks.digit.input``.
        message: the value found, and the value to write instead.
        line: line number in the file, counted from 1, if known.
    """

    where: str
    message: str
    line: int | None = None

    def __str__(self) -> str:
        place = self.where if self.line is None else f"{self.where} (line {self.line})"
        return f"{place}: {self.message}"


class InputError(HpcmtlError):
    """The job file, the data or the arguments are invalid; all problems are reported at once."""

    exit_code = ExitCode.BAD_INPUT

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        head = "1 problem" if count == 1 else f"{count} problems"
        super().__init__("\n".join([f"{head}:", *(f"  {problem}" for problem in self.problems)]))

    @property
    def in_one_line(self) -> str:
        """All problems on one line, to be included in a sentence."""
        return "; ".join(map(str, self.problems))

    def __reduce__(self) -> tuple[type[InputError], tuple[tuple[Problem, ...]]]:
        """Supports pickle: rank 0 sends errors to the other ranks."""
        return (type(self), (self.problems,))


class EnvironmentUnfitError(HpcmtlError):
    """The machine or the installation cannot run this job; the message tells the remedy."""

    exit_code = ExitCode.ENVIRONMENT_UNFIT


class DirectoryGoneError(EnvironmentUnfitError, OSError):
    """A directory of the run was renamed or removed while the run went on; made again, it would hold a part of it."""

    def __init__(self, path: object) -> None:
        super().__init__(f"{path}: this directory is gone: it was renamed or removed while the run went on")
        self.path = path

    def __reduce__(self) -> tuple[type[DirectoryGoneError], tuple[object]]:
        """Supports pickle: rank 0 sends errors to the other ranks."""
        return (type(self), (self.path,))


@contextmanager
def naming_the_gone(directory: Path) -> Iterator[None]:
    """Turns a `FileNotFoundError` of the block into a `DirectoryGoneError`, if the directory is no longer there."""
    try:
        yield
    except FileNotFoundError as error:
        if directory.is_dir():
            raise
        raise DirectoryGoneError(directory) from error


class CannotGoOnError(HpcmtlError):
    """The run cannot continue under the present conditions; it can be resumed."""

    exit_code = ExitCode.STOPPED


class NoSpaceError(CannotGoOnError, OSError):
    """A file of the run does not fit on its file system, or into the user's quota: nothing else is wrong."""

    def __init__(self, path: object, reason: str, number: int = errno.ENOSPC) -> None:
        text = f"{path}: {reason}: free space there, or ask for more quota; then `hpcmtl resume` goes on"
        super().__init__(text)
        self.path, self.reason, self.strerror, self.errno = path, reason, reason, number

    def __str__(self) -> str:
        return str(self.args[0])

    def __reduce__(self) -> tuple[type[NoSpaceError], tuple[object, str, int]]:
        """Supports pickle: rank 0 sends errors to the other ranks."""
        return (type(self), (self.path, self.reason, self.errno or errno.ENOSPC))


@contextmanager
def naming_no_permission() -> Iterator[None]:
    """Turns a `PermissionError` of the block into an `EnvironmentUnfitError` that names file, owner and remedy."""
    try:
        yield
    except PermissionError as error:
        path = Path(os.fsdecode(error.filename)) if isinstance(error.filename, (str, bytes)) else None
        raise EnvironmentUnfitError(no_permission(path, error.strerror or str(error))) from error


def no_permission(path: Path | None, reason: str = "Permission denied") -> str:
    """Returns a sentence on a path that this user may not use."""
    owner = "its owner"
    for place in () if path is None else (path, *path.parents):
        with suppress(OSError, KeyError):
            owner = f"user {pwd.getpwuid(place.stat().st_uid).pw_name}, to whom {place} belongs,"
            break
    return f"{path or 'a file'}: {reason}: ask {owner} for the permission, or name a directory of your own"


@contextmanager
def naming_no_space(path: object) -> Iterator[None]:
    """Turns an error of the block that a full file system or quota has caused into a `NoSpaceError`."""
    try:
        yield
    except NoSpaceError:
        raise
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        raise NoSpaceError(path, error.strerror or str(error), error.errno) from error


class TaskFailedError(HpcmtlError):
    """One task failed on all ranks of its group; its dependents are skipped, and other tasks continue.

    Attributes:
        may_retry: whether `retries` of the task apply.
    """

    may_retry = True


@contextmanager
def located(where: str, problems: list[Problem]) -> Iterator[None]:
    """Collects the problems of an `InputError` that is raised inside, each with `where` before its own place."""
    try:
        yield
    except InputError as error:
        problems += [Problem(f"{where}: {problem.where}", problem.message) for problem in error.problems]


def reason_of(error: BaseException) -> str:
    """Returns type and message of an error on one line, and the line of the user's code in which it was raised.

    An error of a framework may bring a traceback as its text.
    """
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    text = f": {lines[-1] if lines[0].startswith('Traceback') else lines[0]}" if lines else ""
    return f"{type(error).__name__}{text}{users_place(error)}"


def users_place(error: BaseException) -> str:
    """Returns `` (FILE:LINE)`` of the last frame of an error in the user's code; nothing where there is none."""
    frames = users_frames(error)
    return f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""


def users_frames(error: BaseException) -> list[traceback.FrameSummary]:
    """Returns the frames of an error in modules that are neither of hpcmtl nor installed."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    others = [Path(__file__).resolve().parent, *(Path(sysconfig.get_path(name)).resolve() for name in names)]
    frames = traceback.extract_tb(error.__traceback__)
    return [
        frame
        for frame in frames
        if not frame.filename.startswith("<")
        and not any(Path(frame.filename).resolve().is_relative_to(folder) for folder in others)
    ]


_OTHER_NAMES = {
    other: own
    for own, others in {
        "learning_rate": ("lr",),
        "weight_decay": ("wd",),
        "batch_size": ("bs",),
        "accuracy": ("acc",),
        "l2": ("mse",),
        "l1": ("mae",),
        "softmax_ce": ("ce", "cross_entropy"),
        "sigmoid_bce": ("bce",),
        "int64": ("int", "integer"),
        "float32": ("float",),
        "float64": ("double",),
        "text": ("str", "string"),
    }.items()
    for other in others
}
"""Names that other libraries have for names of hpcmtl."""


def close_to(name: str, valid: Iterable[str]) -> str | None:
    """Returns the valid name that a name probably means, whatever the case of its letters; None if there is none."""
    lower = {each.lower(): each for each in sorted(valid, reverse=True)}
    known = [each for each in (name.lower(), usual_name(name)) if each in lower]
    close = known or difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.5)
    return lower[close[0]] if close else None


def usual_name(name: str) -> str:
    """Returns a name in lower case; of those that other libraries have, the name in hpcmtl."""
    return _OTHER_NAMES.get(name.lower(), name.lower())


def nearest(name: str, valid: Iterable[str]) -> str:
    """Returns a hint such as ``; did you mean 'digits'? Valid: ...`` for a name that is not among `valid`."""
    names = sorted(valid)
    close = close_to(name, names)
    return f"; did you mean {close!r}?" if close else f"; valid here: {', '.join(names) or 'nothing'}"

"""Errors that reach all ranks: the outcome of a call on one rank, and the end of the run."""

from __future__ import annotations

import logging
import pickle
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from hpcmtl.errors import EnvironmentUnfitError, ExitCode, HpcmtlError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hpcmtl.communicators.base import Communicator

T = TypeVar("T")
_log = logging.getLogger(__name__)


class _Outcome(NamedTuple):
    """The value of a call, or the error that it raised."""

    value: Any = None
    error: BaseException | None = None


def on_root(comm: Communicator, function: Callable[[], T], root: int = 0) -> T:
    """Runs `function` on one rank and returns its value, or raises its error, on every rank (collective over `comm`).

    Without it an error on that rank leaves the others waiting for a value that never comes.

    Raises:
        BaseException: what `function` raised, on all ranks; a RuntimeError with its traceback as text if it cannot
            travel by pickle. Also a RuntimeError if the value cannot.
    """
    outcome = comm.bcast(_fit_to_travel(_capture(function), root) if comm.rank == root else None, root)
    if outcome.error is not None:
        raise outcome.error
    return outcome.value  # type: ignore[no-any-return]


@contextmanager
def abort_on_error(world: Communicator) -> Iterator[None]:
    """Ends all ranks when the block raises on this one; otherwise they would wait for it for ever.

    Every exception counts, `SystemExit` included. An error that all ranks raise (see `on_root`) is caught inside the
    block, where its exit code is known. The traceback goes to the log, but not for a refusal of hpcmtl. The exit code
    is that of the error.
    """
    try:
        yield
    except BaseException as error:  # noqa: BLE001 - no exception may leave the block, see above
        refusal = isinstance(error, (InputError, EnvironmentUnfitError))
        if refusal or getattr(error, "exit_code", None) is ExitCode.STOPPED:  # a sentence of hpcmtl's own
            _log.error("rank %d of %d ends the run: %s", world.rank, world.size, error)
        else:
            _log.exception("rank %d of %d failed and ends the run", world.rank, world.size)
        world.abort(error.exit_code if isinstance(error, HpcmtlError) else ExitCode.TASK_FAILED)


def _capture(function: Callable[[], Any]) -> _Outcome:
    try:
        return _Outcome(value=function())
    except BaseException as error:  # noqa: BLE001 - an interrupt of rank 0 must reach the others as well
        return _Outcome(error=error)


def _fit_to_travel(outcome: _Outcome, rank: int) -> _Outcome:
    """Returns an outcome that pickles and unpickles; exceptions with a signature of their own often do not.

    It is tried before the send: an error inside `bcast` would be raised on rank 0 alone.
    """
    try:
        pickle.loads(pickle.dumps(outcome))  # noqa: S301 - our own bytes
    except Exception as failure:  # noqa: BLE001 - pickling runs code of the value's class, which may raise anything
        if outcome.error is None:
            text = f"the value of rank {rank} cannot be sent to the others, since it does not pickle: {failure}"
        else:
            text = f"rank {rank} raised\n" + "".join(traceback.format_exception(outcome.error))
        return _Outcome(error=RuntimeError(text))
    return outcome

"""A finding of rank 0 is known on all ranks: its value or its error."""

import threading

import pytest

from hpcmtl.communicators.inproc import RankFailedError, run_ranks
from hpcmtl.communicators.outcome import abort_on_error, on_root
from hpcmtl.errors import EnvironmentUnfitError, InputError, Problem


class AwkwardError(Exception):
    """Pickles, and does not unpickle: pickle calls `AwkwardError(message)` without the second argument."""

    def __init__(self, what, why):
        super().__init__(f"{what}: {why}")


def errors_of_all(function, ranks=3):
    """Return the errors that `on_root` raised, by rank."""

    def work(comm):
        try:
            on_root(comm, function)
        except BaseException as error:  # noqa: BLE001 - whatever it was is what the test looks at
            return error
        return None

    return run_ranks(ranks, work)


def test_the_value_reaches_all_ranks_and_is_made_once():
    """Only rank 0 calls the function."""
    callers = []

    def make():
        callers.append(threading.current_thread().name)
        return {"plan": [1, 2]}

    values = run_ranks(3, lambda comm: on_root(comm, make))

    assert values == [{"plan": [1, 2]}] * 3
    assert callers == ["rank 0"]


@pytest.mark.parametrize("error", [InputError([Problem("job.yaml", "bad", 3)]), KeyError("x"), SystemExit(2)], ids=repr)
def test_an_error_is_raised_alike_on_all_ranks(error):
    """Type, arguments and problems survive the journey."""

    def fail():
        raise error

    errors = errors_of_all(fail)

    assert [type(each) for each in errors] == [type(error)] * 3
    assert [each.args for each in errors] == [error.args] * 3
    assert [getattr(each, "problems", None) for each in errors] == [getattr(error, "problems", None)] * 3


def test_an_error_that_cannot_travel_arrives_as_text():
    """An exception that does not unpickle becomes a RuntimeError with its traceback, on rank 0 too."""

    def fail():
        raise AwkwardError("disk", "full")

    errors = errors_of_all(fail)

    assert [type(each) for each in errors] == [RuntimeError] * 3
    for each in errors:
        assert "rank 0 raised\nTraceback" in str(each)
        assert "AwkwardError: disk: full" in str(each)


def test_a_value_that_cannot_travel_is_an_error_for_all():
    """No rank is left waiting when rank 0's value does not pickle."""
    errors = errors_of_all(threading.Lock)

    assert [type(each) for each in errors] == [RuntimeError] * 3
    assert all("does not pickle" in str(each) for each in errors)


def test_rank_0_keeps_the_traceback_of_its_error():
    """On the rank where it happened, the error shows the line where it happened."""

    def fail_deep_down():
        raise ValueError("here")

    tracebacks = [error.__traceback__ for error in errors_of_all(fail_deep_down, ranks=2)]
    names = []
    while tracebacks[0] is not None:
        names.append(tracebacks[0].tb_frame.f_code.co_name)
        tracebacks[0] = tracebacks[0].tb_next

    assert "fail_deep_down" in names


@pytest.mark.parametrize(
    ("error", "code"),
    [(ValueError("x"), 1), (EnvironmentUnfitError("no device"), 3), (KeyboardInterrupt(), 1)],
    ids=repr,
)
def test_whatever_leaves_the_block_aborts_with_its_exit_code(error, code, caplog):
    """The world is ended, with the error's own code, and the log has rank and traceback, but none of a refusal."""

    def work(comm):
        with abort_on_error(comm):
            if comm.rank == 1:
                raise error
            comm.barrier()

    with pytest.raises(RankFailedError, match=rf"rank 1 of 2 raised CommunicationError: abort\({code}\)"):
        run_ranks(2, work)

    record = caplog.records[0]
    refused = isinstance(error, (EnvironmentUnfitError, InputError))
    said = f"rank 1 of 2 ends the run: {error}" if refused else "rank 1 of 2 failed and ends the run"

    assert record.getMessage() == said
    assert (record.exc_info is None) if refused else (record.exc_info[1] is error)


def test_a_block_that_ends_well_aborts_nothing():
    """The guard is silent when nothing is raised."""

    def work(comm):
        with abort_on_error(comm):
            return comm.allgather(comm.rank)

    assert run_ranks(2, work) == [[0, 1], [0, 1]]

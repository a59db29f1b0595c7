"""Properties of every `TaskSource`; a test gives a source that is about to add tasks, and a way to make it go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.results.rundir.requests import Answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpcmtl.dispatch.coordinator.task_source import ExtendedJob, TaskSource

POLLS = 100_000


def polled(source: TaskSource) -> ExtendedJob:
    """Polls until the source has a job ready, as the coordinator does; it may not be exhausted before."""
    for _ in range(POLLS):
        assert not source.exhausted, "a job could end while its source has tasks for it"
        if (extended := source.poll(0.0)) is not None:
            return extended
    raise AssertionError("the source never had a job ready")


def check_a_job_is_answered_once(make: Callable[[], TaskSource]) -> None:
    """A source has a job ready and is not exhausted until that is accepted; nothing comes after its last one."""
    source = make()
    polled(source)
    source.answered(Answer(True, ""))
    assert source.exhausted
    assert source.poll(1.0) is None


def check_a_refusal_ends_it(make: Callable[[], TaskSource]) -> None:
    """A job that was refused does not come again."""
    source = make()
    polled(source)
    source.answered(Answer(False, "no"))
    assert source.exhausted
    assert source.poll(1.0) is None


def check_a_stale_job_comes_again(make: Callable[[], TaskSource]) -> None:
    """Where the job has got other tasks meanwhile the same tasks are offered once more."""
    source = make()
    first = polled(source)
    source.answered(None)
    again = polled(source)
    assert set(again.extension.job.tasks) >= set(first.extension.job.tasks)


def check_it_can_be_closed_at_any_time(make: Callable[[], TaskSource]) -> None:
    """A source that is closed with the run holds nothing up any more."""
    source = make()
    source.close()
    assert source.exhausted
    proposed = make()
    polled(proposed)
    proposed.close()
    assert proposed.exhausted


CHECKS = [value for name, value in list(globals().items()) if name.startswith("check_")]

"""Decisions of a run before and after its ranks work: the world that it takes, and the name of its end."""

from pathlib import Path

import pytest

import hpcmtl
from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.errors import EnvironmentUnfitError, ExitCode, InputError
from hpcmtl.pipeline.run.entry import check_world, resume
from hpcmtl.pipeline.run.result import exit_code
from hpcmtl.results.outcome.summary import JobResult


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("complete", ExitCode.COMPLETE),
        ("failed", ExitCode.TASK_FAILED),
        ("incomplete", ExitCode.TASK_FAILED),
        ("stopped", ExitCode.STOPPED),
    ],
)
def test_exit_codes(status, code):
    """Only a complete job ends with 0."""
    assert exit_code(JobResult("a", status, "", 1.0, 1, ())) == code


def test_the_folder_of_runs_may_be_a_text():
    """Options take paths as texts, as the command line does."""
    options = hpcmtl.RunOptions(root="out", measured="latest")

    assert (options.root, options.measured) == (Path("out"), Path("latest"))


@pytest.mark.parametrize("call", [hpcmtl.run, resume])
def test_options_of_another_type_are_refused(call):
    """A mapping is a likely mistake; the message says what to give."""
    with pytest.raises(InputError, match="options: found a dict; give hpcmtl.RunOptions"):
        call("job.yaml", options={"root": "out"})


def test_a_world_of_another_size_is_refused():
    """All ranks refuse a world that is not what was asked for, and take it where nothing was."""

    def check(world):
        check_world(world, None)
        check_world(world, 3)
        with pytest.raises(EnvironmentUnfitError, match="--ranks 4 was asked for, but the world has 3 ranks"):
            check_world(world, 4)

    run_ranks(3, check)

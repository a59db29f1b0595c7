"""Jobs and tasks in code have the keys, the forms and the messages of a job file."""

from __future__ import annotations

from pathlib import Path

import pytest

import hpcmtl
from hpcmtl.errors import InputError

CALL = hpcmtl.Task("python", callable="m:f")


def test_typing_errors_are_told_with_what_was_meant() -> None:
    """Wrong names of the package, of kinds, keys and models have a hint, all of one call at once."""
    with pytest.raises(AttributeError, match="no attribute 'Jobs'; did you mean 'Job'"):
        _ = hpcmtl.Jobs
    with pytest.raises(InputError, match="python task: callabel: unknown key 'callabel'; did you mean 'callable'"):
        hpcmtl.Task("python", callabel="m:f")
    with pytest.raises(InputError, match="trian task: kind: unknown task kind 'trian'; did you mean 'train'"):
        hpcmtl.Task("trian")
    with pytest.raises(InputError) as refused:
        hpcmtl.Job(job="j", rank=2, seed=True, tasks={"t": CALL})

    assert [str(problem) for problem in refused.value.problems] == [
        "job: seed: found True; write a number",
        "job: rank: unknown key 'rank'; did you mean 'ranks'?",
    ]


def test_a_task_without_a_kind_is_an_error_of_the_input() -> None:
    """The message lists the kinds, as for a job file."""
    with pytest.raises(InputError, match="task: `kind` is missing; one of .*train"):
        hpcmtl.Task(epochs=2)


def test_paths_are_texts() -> None:
    """Data files and folders of modules may be given as `Path`."""
    job = hpcmtl.Job(job="j", data={"d": Path("a") / "b.h5"}, modules=[Path("code")], tasks={"t": CALL})

    assert (job.data, job.modules) == ({"d": "a/b.h5"}, ("code",))


def test_the_package_lists_its_names() -> None:
    """`dir` shows the public names, though they are loaded on first use."""
    assert dir(hpcmtl) == ["Job", "RunOptions", "Task", "__version__", "client", "load", "run"]


def test_all_public_names_can_be_imported() -> None:
    """`from hpcmtl import *` gives what `dir` shows, and another name is told with what was meant."""
    names = {name: getattr(hpcmtl, name) for name in hpcmtl.__all__}
    space: dict[str, object] = {}
    exec("from hpcmtl import *", space)  # noqa: S102 - the statement is allowed at the top of a module alone

    assert {name: space[name] for name in names} == names
    assert set(names) == set(dir(hpcmtl))
    with pytest.raises(AttributeError, match="has no attribute 'runn'; did you mean 'run'"):
        hpcmtl.runn  # noqa: B018 - the access is what is tested

"""The registry of task kinds: kinds of other packages, and messages for packages with a fault."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from hpcmtl.entry_points import installed
from hpcmtl.errors import InputError
from hpcmtl.jobfile.kind_registry import BUILT_IN, is_kind, kind_names, load_kind
from hpcmtl.jobfile.kinds import kinds_with
from hpcmtl.jobfile.load import parse_job
from hpcmtl.jobfile.schema import Job

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MODULE = """
from outside_kind import RowSumsKind

class Unnamed(RowSumsKind):
    name = "other"

class Keyless(RowSumsKind):
    name = "row_sums"
    schema = dict

good, unnamed, keyless, empty = RowSumsKind(), Unnamed(), Keyless(), object()
"""
Install = "Callable[..., None]"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install a package, by the values of its entry points: name -> reference."""

    def package(title: str = "outside", **kinds: str) -> None:
        info = tmp_path / title / f"{title}-1.0.dist-info"
        info.mkdir(parents=True)
        (info.parent / "supplied.py").write_text(MODULE)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {title}\nVersion: 1.0\n")
        lines = [f"{name} = {value}\n" for name, value in kinds.items()]
        (info / "entry_points.txt").write_text("".join(["[hpcmtl.task_kinds]\n", *lines]))
        monkeypatch.syspath_prepend(info.parent)
        forget()

    yield package
    monkeypatch.undo()
    forget()


def forget() -> None:
    """Empty the caches, as in a new process."""
    installed.cache_clear()
    load_kind.cache_clear()
    sys.modules.pop("supplied", None)


def refusal(name: str) -> str:
    """The message for a kind that cannot be used."""
    with pytest.raises(InputError) as caught:
        load_kind(name)
    return caught.value.in_one_line


def test_an_entry_point_adds_a_kind(install: Install) -> None:
    """The kind of a package has a name, a schema for editors, and validates tasks as built-in ones do."""
    install(row_sums="supplied:good")
    job = parse_job({"job": "j", "data": {"d": "d.h5"}, "tasks": {"a": {"kind": "row_sums", "input": "d/x"}}})

    assert kind_names() == (*BUILT_IN, "row_sums")
    assert job.tasks["a"].factor == 1.0
    assert Job.model_validate(job.model_dump(by_alias=True)) == job
    assert "RowSums" in Job.model_json_schema()["$defs"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("nowhere:KIND", "cannot be imported (ModuleNotFoundError"),
        ("supplied:nothing", "cannot be imported (AttributeError"),
        ("supplied:empty", "is no task kind: it lacks facts, name, schema, session, work"),
        ("supplied:keyless", "must be a class derived from TaskBase"),
        ("supplied:unnamed", "supplied:unnamed.name is 'other', and its entry point in package outside is 'row_sums'"),
    ],
)
def test_a_package_with_a_fault_is_named(install: Install, value: str, message: str) -> None:
    """The message names the fault and the package of an entry point, and a job that uses it is refused."""
    install(row_sums=value)
    task = {"kind": "row_sums", "input": "d/x"}

    assert message in refusal("row_sums")
    assert "outside" in refusal("row_sums")
    with pytest.raises(InputError, match=r"tasks\.a\.kind: task kind 'row_sums'"):
        parse_job({"job": "j", "tasks": {"a": task}})


def test_two_packages_with_one_kind_are_refused(install: Install) -> None:
    """Neither of them wins by the order in which they are found."""
    install("first", row_sums="supplied:good")
    install("second", row_sums="outside_kind:KIND")
    text = refusal("row_sums")

    assert "supplied:good (package first)" in text
    assert "outside_kind:KIND (package second)" in text


def test_a_built_in_kind_stays(install: Install) -> None:
    """A package cannot replace a kind that comes with hpcmtl."""
    install(train="supplied:good")

    assert kind_names() == tuple(BUILT_IN)
    assert load_kind("train").name == "train"


def test_an_unknown_kind_has_neighbours() -> None:
    """The message for an unknown kind has the nearest valid name."""
    assert not is_kind("trian")
    assert "did you mean 'train'?" in refusal("trian")


CALL = {"kind": "python", "callable": "m:f"}


def test_kinds_are_listed_by_a_property() -> None:
    """Messages name the kinds that have a property."""
    job = parse_job({"job": "j", "tasks": {"t": CALL}})

    assert kinds_with(job, lambda facts: facts.has_parameters) == "train, joint and pretrained"


def test_a_broken_kind_hides_no_problem_of_others(install: Install) -> None:
    """A job that does not use it gets the messages for its own tasks, which name the kinds that can be used."""
    install(broken="supplied:nowhere")
    tasks = {"a": CALL, "b": {"kind": "predict", "needs": {"a": "parameters"}}, "c": {**CALL, "ranks": 9}}
    with pytest.raises(InputError) as refused:
        parse_job({"job": "j", "merge": {"m": {"tasks": ["a", "c"]}}, "tasks": tasks})
    found = {problem.where.removeprefix("job: "): problem.message for problem in refused.value.problems}

    assert set(found) == {"tasks.b.needs.a", "tasks.c.ranks", "merge.m.tasks"}
    assert found["tasks.b.needs.a"].endswith("only train, joint and pretrained have")

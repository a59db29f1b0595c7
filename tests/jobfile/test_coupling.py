"""A task that cannot be async or merged is refused with the reason; one that can be is found by its readers."""

from __future__ import annotations

from typing import Any

import pytest

from hpcmtl.errors import InputError
from hpcmtl.jobfile.coupling import is_coupled, live_consumers, live_needs, members_with, merge_of
from hpcmtl.jobfile.load import parse_job

LIVE = {"kind": "parameters", "mode": "async", "every": 20, "staleness": 2}


def coupled(digits: dict[str, Any]) -> dict[str, Any]:
    """The joint task takes versions of the trunk; the two tasks that read pixels are not merged yet."""
    digits["tasks"]["joint"]["needs"]["trunk"] = LIVE
    digits["tasks"]["joint"]["freeze"] = ["trunk.*"]
    digits["tasks"]["twin"] = {**digits["tasks"]["trunk"]}
    digits["merge"] = {"encoder": {"tasks": ["trunk", "twin"], "parameters": "encoder.*", "every": 10}}
    return digits


def test_who_exchanges_with_whom(digits: dict[str, Any]) -> None:
    """Both ends of a live edge are found, as are the members of a merge; a staleness of 0 makes an edge sync."""
    job = parse_job(coupled(digits))

    assert is_coupled(job)
    assert live_needs(job, "joint").keys() == {"trunk"}
    assert live_consumers(job, "trunk").keys() == {"joint"}
    assert (members_with(job, "twin"), members_with(job, "digit")) == (("trunk", "twin"), ())
    assert merge_of(job, "digit") is None
    digits["tasks"]["joint"]["needs"]["trunk"] = {**LIVE, "staleness": 0}
    del digits["merge"]
    assert not is_coupled(parse_job(digits))


@pytest.mark.parametrize(
    ("path", "value", "where", "message"),
    [
        ("digit.needs.features", {"kind": "data", "mode": "async"}, "digit.needs.features", "always sync"),
        ("digit.needs.features", {"kind": "compute", "mode": "async"}, "digit.needs.features", "always sync"),
        ("features.needs.trunk", LIVE, "features.needs.trunk", "extract tasks use what they need once"),
        ("joint.freeze", [], "joint.needs.trunk", "renews frozen parameters, and this task freezes none"),
        ("joint.needs.trunk", {"kind": "parameters", "every": 5}, "joint.needs.trunk", "add `mode: async`"),
        ("joint.needs.trunk", {**LIVE, "every": 0}, "joint.needs.trunk.every", "a number that is more than 0"),
        ("joint.needs.trunk", {**LIVE, "staleness": -1}, "joint.needs.trunk.staleness", "a number that is at least 0"),
        ("trunk.needs", {"joint": "order"}, "trunk.needs", "cycle: "),
    ],
)
def test_edges_that_cannot_be_async(digits: dict[str, Any], path: str, value: Any, where: str, message: str) -> None:
    """Each is refused where it stands, with what to write instead; an async edge does not break a cycle."""
    job = coupled(digits)
    task, key, *rest = path.split(".")
    if rest:
        job["tasks"][task][key][rest[0]] = value
    else:
        job["tasks"][task][key] = value
    with pytest.raises(InputError) as caught:
        parse_job(job)
    found = {problem.where.removeprefix("job: tasks."): problem.message for problem in caught.value.problems}

    assert any(place.startswith(where) and message in text for place, text in found.items()), found


@pytest.mark.parametrize(
    ("merge", "message"),
    [
        ({"a": {"tasks": ["trunk", "twinn"]}}, "unknown task 'twinn'; did you mean 'twin'?"),
        ({"a": {"tasks": ["trunk", "features"]}}, "only train and joint have parameters to merge"),
        ({"a": {"tasks": ["trunk"]}}, "at least 2"),
        ({"a": {"tasks": ["trunk", "trunk"]}}, "a member twice"),
        ({"a": {"tasks": ["trunk", "twin"]}, "b": {"tasks": ["twin", "digit"]}}, "member of merge 'a' as well"),
        ({"a": {"tasks": ["trunk", "joint"]}}, "'joint' needs 'trunk': members of a merge run at the same time"),
        ({"a": {"tasks": ["trunk", "digit"]}}, "through other tasks: merge a -> features -> merge a"),
        ({"a": {"tasks": ["trunk", "twin"], "how": "median"}}, "did you mean 'mean'?"),
    ],
)
def test_merges_that_cannot_be(digits: dict[str, Any], merge: dict[str, Any], message: str) -> None:
    """Members exist, train, are in one merge alone, and do not wait for each other."""
    job = {**coupled(digits), "merge": merge}
    with pytest.raises(InputError) as caught:
        parse_job(job)

    assert any(message in problem.message for problem in caught.value.problems), caught.value.problems

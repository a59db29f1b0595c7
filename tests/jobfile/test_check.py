from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.errors import InputError
from hpcmtl.jobfile.check import cycles
from hpcmtl.jobfile.load import parse_job
from hpcmtl.jobfile.references import references_of

MLP = {"name": "mlp", "outputs": 10}


def put(job: dict[str, Any], path: str, value: Any) -> None:
    """Set one value of a job by its dotted path."""
    *way, last = path.split(".")
    for key in way:
        job = job[key]
    job[last] = value


def found(job: dict[str, Any]) -> dict[str, str]:
    """Where and what the check complains of."""
    with pytest.raises(InputError) as caught:
        parse_job(job, "job")
    return {problem.where.removeprefix("job: "): problem.message for problem in caught.value.problems}


@pytest.mark.parametrize(
    ("path", "value", "where", "message"),
    [
        ("tasks.digit.input", "featurs/values", "tasks.digit.input", "did you mean 'features'?"),
        (
            "tasks.digit.input",
            "features/valus",
            "tasks.digit.input",
            "publishes no array 'valus'; did you mean 'values'?",
        ),
        ("tasks.digit.needs", {}, "tasks.digit.input", "add it to `needs` as `features: data`"),
        ("tasks.digit.needs", ["features"], "tasks.digit.input", "add it to `needs` as `features: data`"),
        ("tasks.digit.needs.trunc", "order", "tasks.digit.needs.trunc", "unknown task 'trunc'; did you mean 'trunk'?"),
        ("tasks.report.needs.report2", "order", "tasks.report.needs.report2", "unknown task 'report2'"),
        ("tasks.features.output", "encodr", "tasks.features.output", "no part 'encodr'; did you mean 'encoder'?"),
        ("tasks.joint.trunk.part", "body", "tasks.joint.trunk.part", "no part 'body'"),
        ("tasks.joint.heads.digit.loss", "l3", "tasks.joint.heads.digit.loss", "framework gluon has no loss 'l3'"),
        ("tasks.joint.heads.digit.metrics", ["acuracy"], "tasks.joint.heads.digit.metrics", "did you mean 'accuracy'?"),
        ("tasks.joint.initialise", {"features": "*"}, "tasks.joint.initialise.features", "not among `needs`"),
        ("tasks.features.needs.digit", "order", "tasks.features.needs", "cycle: "),
        ("tasks.report.needs", {}, "tasks.report.needs", "found 0 such edges"),
        ("tasks.report.needs.trunk", "parameters", "tasks.report.needs", "found 2 such edges"),
        ("tasks.report.metrics", ["aucc"], "tasks.report.metrics", "unknown metric 'aucc'; did you mean 'auc'?"),
        ("tasks.trunk.loss", "l22", "tasks.trunk.loss", "framework gluon has no loss 'l22'"),
        ("tasks.trunk.optimizer", {"name": "adan", "learning_rate": 1}, "tasks.trunk.optimizer.name", "'adam'"),
        ("tasks.trunk.ranks", 5, "tasks.trunk.ranks", "needs 5 ranks but the job has 4"),
        ("tasks.trunk.ranks", {"min": 3, "max": 2}, "tasks.trunk.ranks", "min 3 is more than max 2"),
        ("tasks.trunk.ranks", {"min": 3, "multiple_of": 5}, "tasks.trunk.ranks", "no number from 3 to 4 is what"),
        (
            "tasks.trunk.ranks",
            {"min": 3, "max": 3, "powers_of_two": True},
            "tasks.trunk.ranks",
            "no number from 3 to 3",
        ),
        ("tasks.digit.with", "feature", "tasks.digit.with", "not among `needs`; did you mean 'features'?"),
        ("data.trunk", "x.h5", "tasks.trunk", "also a name under `data`"),
    ],
)
def test_each_contradiction_is_named(digits: dict[str, Any], path: str, value: Any, where: str, message: str) -> None:
    """One wrong reference, edge, name or resource gives one problem, at its key, with the remedy."""
    put(digits, path, value)
    problems = found(digits)

    assert list(problems) == [where]
    assert message in problems[where]


def test_parameters_come_from_tasks_that_train(digits: dict[str, Any]) -> None:
    """An edge of the wrong kind is named, and so is the reference that it leaves without an edge."""
    put(digits, "tasks.digit.needs.features", "parameters")
    problems = found(digits)

    assert set(problems) == {"tasks.digit.needs.features", "tasks.digit.input"}
    assert "has no parameters to hand on" in problems["tasks.digit.needs.features"]


def test_memory_of_a_gpu_is_for_tasks_that_use_one(digits: dict[str, Any]) -> None:
    """A task on CPUs cannot ask for it, by the defaults either; with `auto` it says where the task is to run."""
    digits["tasks"]["trunk"]["ranks"] = {"gpu_memory": "8GiB"}
    digits["tasks"]["features"]["device"] = "gpu"

    assert parse_job(digits).tasks["trunk"].ranks.gpu_memory == 8 << 30
    digits["defaults"]["device"] = "cpu"
    assert list(found(digits)) == ["tasks.trunk.ranks.gpu_memory"]
    put(digits, "tasks.trunk.device", "tpu")
    assert "did you mean 'gpu'?" in found(digits)["tasks.trunk.device"]


def test_the_local_engine_is_for_one_rank(digits: dict[str, Any]) -> None:
    """A task cannot ask for two ranks and for the engine that has one, by the defaults either."""
    digits["defaults"]["engine"] = "local"
    digits["tasks"]["trunk"]["ranks"] = 2

    assert "engine `local` is for one rank" in found(digits)["tasks.trunk.ranks"]


def test_parameters_that_a_joint_task_ignores_are_named(digits: dict[str, Any]) -> None:
    """An edge that hands over nothing is a mistake, or an order edge."""
    digits["tasks"]["other"] = {**digits["tasks"]["trunk"]}
    digits["tasks"]["joint"]["needs"]["other"] = "parameters"

    assert "use `order`" in found(digits)["tasks.joint.needs.other"]


@pytest.mark.parametrize("key", ["trunk", "heads.digit"])
def test_networks_come_from_tasks_under_needs(digits: dict[str, Any], key: str) -> None:
    """A joint task names where its parts come from twice: as an edge, and where they go."""
    put(digits, f"tasks.joint.{key}.from", "digitt")

    assert "'digitt' is not among `needs`" in found(digits)[f"tasks.joint.{key}.from"]


def test_a_head_cannot_come_from_a_joint_task(digits: dict[str, Any]) -> None:
    """A joint network has heads of its own, and is no head."""
    joint = {**digits["tasks"]["joint"], "needs": {"trunk": "parameters", "joint": "parameters"}}
    digits["tasks"]["second"] = {**joint, "heads": {"digit": {"from": "joint"}}}

    assert "a head comes from a train task" in found(digits)["tasks.second.heads.digit.from"]


def test_several_problems_come_at_once(digits: dict[str, Any]) -> None:
    """All that is wrong on one level of depth is in one report."""
    put(digits, "tasks.trunk.loss", "l22")
    put(digits, "tasks.trunk.ranks", 9)
    put(digits, "tasks.report.needs", {"joynt": "parameters"})

    assert set(found(digits)) == {"tasks.trunk.loss", "tasks.trunk.ranks", "tasks.report.needs.joynt"}


def test_a_cycle_is_printed_as_a_path(digits: dict[str, Any]) -> None:
    """The reader sees which edges make the cycle."""
    put(digits, "tasks.trunk.needs", {"digit": "order"})

    assert found(digits) == {"tasks.trunk.needs": "cycle: trunk -> digit -> features -> trunk"}


def test_a_task_that_needs_itself_is_a_cycle() -> None:
    """The shortest cycle is found as well."""
    assert cycles({"a": ["a"]}) == [("a", "a")]


@given(st.dictionaries(st.sampled_from("abcdef"), st.lists(st.sampled_from("abcdef"), max_size=4), min_size=1))
def test_cycles_are_real_and_found_whenever_there_is_one(needs: dict[str, list[str]]) -> None:
    """Each cycle follows edges back to where it began, and none is found exactly if there is an order."""
    left = {name: {other for other in others if other in needs} for name, others in needs.items()}
    while any(not others for others in left.values()):
        done = {name for name, others in left.items() if not others}
        left = {name: others - done for name, others in left.items() if name not in done}
    reported = cycles(needs)

    assert bool(reported) == bool(left)
    assert all(path[0] == path[-1] and len(path) > 1 for path in reported)
    assert all(b in needs[a] for path in reported for a, b in itertools.pairwise(path))


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("trunk", {"digits/images"}),
        ("features", {"digits/images"}),
        ("digit", {"features/values", "digits/digit"}),
        ("joint", {"digits/images", "digits/digit"}),
        ("report", {"digits/images", "digits/digit"}),
    ],
)
def test_references_include_inherited_ones(digits: dict[str, Any], task: str, expected: set[str]) -> None:
    """An array that a task reads through the task that it comes from is known."""
    assert {reference for _, reference in references_of(parse_job(digits), task)} == expected


@pytest.mark.parametrize("name", ["loss", "optimizer", "model"])
def test_names_of_the_user_are_accepted(digits: dict[str, Any], name: str) -> None:
    """`package.module:attribute` stands for anything of the zoo, and is not looked up here."""
    own = "package.module:thing"
    digits["tasks"]["trunk"][name] = {
        "loss": own,
        "optimizer": {"name": own, "learning_rate": 0.1},
        "model": {"name": own, "depth": 3},
    }[name]

    assert own in str(getattr(parse_job(digits).tasks["trunk"], name))

"""Problems of others: read as they are meant or refused, naming the array; their plans come back as arrays."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from typer.testing import CliRunner

from hpcmtl.cli.verbs import app
from hpcmtl.errors import InputError
from hpcmtl.layerplan.report.files import read_problem, write_schedule
from hpcmtl.layerplan.solve.bounds import simple_bound
from hpcmtl.layerplan.solve.policies import POLICIES, plan_problem

GOOD = {
    "times": np.array([[4.0, 2.0, 1.5], [3.0, 2.0, 2.0], [8.0, 4.0, 2.0]]),
    "widths": np.array([1, 2, 4]),
    "edges": np.array([[0, 2], [1, 2]]),
    "ranks": np.array(4),
}


def saved(path, **changes):
    """The good problem with other arrays; None leaves one out."""
    arrays = {name: array for name, array in {**GOOD, **changes}.items() if array is not None}
    np.savez(path / "problem.npz", **arrays)
    return path / "problem.npz"


@st.composite
def problems(draw):
    """Arrays of any small problem that is sound: random tables, edges that go forward, releases, priorities."""
    count, ranks = draw(st.integers(1, 8)), draw(st.integers(1, 9))
    widths = np.array(sorted(draw(st.sets(st.integers(1, 12), min_size=1, max_size=5)) | {1}))
    seconds = st.one_of(st.floats(0, 100), st.just(np.inf))
    times = np.array([[draw(seconds) for _ in widths] for _ in range(count)])
    times[:, 0] = [draw(st.floats(0, 100)) for _ in range(count)]
    pairs = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).filter(lambda pair: pair[0] < pair[1])
    edges = draw(st.lists(pairs, max_size=12)) if count > 1 else []
    made = {"times": times, "widths": widths, "edges": np.array(edges, dtype=np.int64).reshape(-1, 2), "ranks": ranks}
    if draw(st.booleans()):
        made["release"] = np.array([draw(st.floats(0, 50)) for _ in range(count)])
    if draw(st.booleans()):
        made["priority"] = np.array([draw(st.integers(-2, 2)) for _ in range(count)])
    return made


@example(
    {"times": np.array([[0.0], [5e-324]]), "widths": np.array([1]), "edges": np.zeros((0, 2), int), "ranks": 1}, "exact"
)
@given(problems(), st.sampled_from(sorted(POLICIES)))
def test_any_sound_problem_gets_a_valid_plan(tmp_path_factory, arrays, policy):
    """The written plan keeps widths, times, edges, releases and ranks, and is not below the bound."""
    folder = tmp_path_factory.mktemp("any")
    np.savez(folder / "problem.npz", **arrays)
    problem = read_problem(folder / "problem.npz")
    schedule, bound = plan_problem(problem, policy)
    write_schedule(folder / "plan.npz", problem, schedule)
    with np.load(folder / "plan.npz") as plan:
        width, start, end, first = (plan[name] for name in ("width", "start", "end", "first_rank"))

    column = np.searchsorted(arrays["widths"], width)
    assert (arrays["widths"][column] == width).all()
    np.testing.assert_allclose(end - start, arrays["times"][np.arange(len(width)), column], atol=1e-9)
    assert (start >= arrays.get("release", 0.0)).all()
    assert ((first >= 0) & (first + width <= arrays["ranks"])).all()
    for before, after in arrays["edges"]:
        assert start[after] >= end[before]
    for i in range(len(width)):
        for j in range(i):
            apart = min(end[i], end[j]) - max(start[i], start[j]) <= 1e-9 * end.max()
            assert apart or first[i] + width[i] <= first[j] or first[j] + width[j] <= first[i]
    assert simple_bound(problem) * (1 - 1e-9) <= bound <= end.max() * (1 + 1e-9)


def test_the_command_prints_and_writes(tmp_path):
    """One JSON object with all that is promised, and PLAN.npz under exactly the given name."""
    out = tmp_path / "made.plan"
    done = CliRunner().invoke(app, ["plan", "--problem", str(saved(tmp_path)), "--out", str(out), "--json"])
    found = json.loads(done.stdout)

    assert set(found) == {
        *("makespan", "lower_bound", "gap", "seconds"),
        *("policy", "tasks", "ranks", "utilisation"),
    }
    assert (found["policy"], found["tasks"], found["ranks"]) == ("variable", 3, 4)
    assert found["makespan"] == 4.0  # the first two side by side on 2 ranks, then the third on 4
    assert found["lower_bound"] <= 4.0
    assert found["gap"] == pytest.approx(4.0 / found["lower_bound"] - 1)
    with np.load(out) as plan:
        assert plan["width"].tolist() == [2, 2, 4]


def test_releases_are_waited_for(tmp_path):
    """A task is not started before its release, and what depends on it moves with it."""
    problem = read_problem(saved(tmp_path, release=np.array([10.0, 0.0, 0.0])))
    schedule, bound = plan_problem(problem)

    assert schedule.start.tolist() == [10.0, 0.0, 11.5]
    assert bound == pytest.approx(13.5)


@pytest.mark.parametrize(("count", "last"), [(1, "0"), (10, "9"), (11, "10"), (101, "100")])
def test_names_sort_like_indices(tmp_path, count, last):
    """The name of a task is its index, with as many digits as the last one has."""
    arrays = {"times": np.ones((count, 1)), "widths": np.array([1]), "edges": np.zeros((0, 2), np.int64)}
    names = read_problem(saved(tmp_path, **arrays)).names

    assert (names[-1], len(set(names))) == (last, count)
    assert list(names) == sorted(names, key=int) == sorted(names)


def test_priority_decides_first(tmp_path):
    """Of two tasks that want all ranks the one with the higher priority goes first, whatever their lengths."""
    arrays = {"times": np.array([[1.0], [5.0]]), "widths": np.array([4]), "edges": np.zeros((0, 2), np.int64)}
    first = plan_problem(read_problem(saved(tmp_path, **arrays, priority=np.array([1, 0]))))[0]
    second = plan_problem(read_problem(saved(tmp_path, **arrays, priority=np.array([0, 1]))))[0]

    assert (first.start.tolist(), second.start.tolist()) == ([0.0, 1.0], [5.0, 0.0])


def wrong(place, value):
    """The good times with one other entry."""
    times = GOOD["times"].copy()
    times[place] = value
    return times


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"times": wrong((1, 2), np.nan)}, r"times: \[1, 2\] is NaN or negative"),
        ({"times": wrong((0, 0), -1.0)}, r"times: \[0, 0\] is NaN or negative"),
        ({"times": wrong(1, np.inf)}, r"times: \[1\] has no finite time on 4 ranks"),
        ({"times": np.zeros((0, 3))}, r"times: has shape \(0, 3\): there is nothing to plan"),
        ({"times": np.zeros(3)}, "times: has shape"),
        ({"times": np.array([["a", "b", "c"]])}, "times: has dtype"),
        ({"times": None}, "times: is missing"),
        ({"widths": np.array([1, 4, 2])}, "widths: should be at least 1 and rise"),
        ({"widths": np.array([0, 1, 2])}, "widths: should be at least 1 and rise"),
        ({"widths": np.array([1, 2])}, "widths: has 2 entries for the 3 columns"),
        ({"widths": np.array([1.0, 2.0, 4.0])}, "widths: has dtype float64"),
        ({"edges": np.array([[0, 1], [1, 2], [2, 0]])}, "edges: .*cycle"),
        ({"edges": np.array([[0, 3]])}, r"edges: \[0\] is not between two different tasks from 0 to 2"),
        ({"edges": np.array([[1, 1]])}, r"edges: \[0\] is not between two different tasks"),
        ({"edges": np.array([[0, 1, 2]])}, r"edges: has shape \(1, 3\)"),
        ({"ranks": np.array(0)}, "ranks: is 0"),
        ({"release": np.array([0.0, np.nan, 0.0])}, r"release: \[1\] is not a finite"),
        ({"release": np.zeros(2)}, r"release: has shape \(2,\); there are 3 tasks"),
        ({"priority": np.array([0.5, 0, 0])}, "priority: has dtype"),
        ({"prioritys": np.zeros(3)}, "prioritys: there is no such array.*priority"),
    ],
)
def test_bad_problems_are_refused(tmp_path, changes, said):
    """The message names file and array, and says what was found; nothing is written."""
    path = saved(tmp_path, **changes)
    with pytest.raises(InputError, match=rf"{path}: {said}"):
        read_problem(path)
    done = CliRunner().invoke(app, ["plan", "--problem", str(path), "--out", str(tmp_path / "plan.npz")])

    assert isinstance(done.exception, InputError)
    assert done.exception.exit_code == 2
    assert not (tmp_path / "plan.npz").exists()


class Harmful:
    """An object whose reading would make a folder."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_arrays_of_objects_are_not_read(tmp_path):
    """To read objects is to run code of whoever wrote the file: it is refused, and nothing runs."""
    path = saved(tmp_path, times=np.array([[Harmful(tmp_path / "made")]], dtype=object))
    with pytest.raises(InputError, match=r"is no \.npz file of plain arrays"):
        read_problem(path)

    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("content", [b"", b"PK no zip", b"times"])
def test_other_files_are_refused(tmp_path, content):
    """A file that is no .npz file, or is not there, is named."""
    (tmp_path / "problem.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"problem.npz: is no .npz file"):
        read_problem(tmp_path / "problem.npz")
    with pytest.raises(InputError, match="there is no such file"):
        read_problem(tmp_path / "none.npz")


@pytest.mark.parametrize("words", [[], ["job.yaml", "--problem", "a.npz"], ["--problem", "a.npz", "--ranks", "3"]])
def test_words_that_contradict_are_refused(words):
    """A job or arrays, not both and not neither; arrays bring their own number of ranks."""
    assert CliRunner().invoke(app, ["plan", *words]).exit_code == 2

"""A map-reduce task publishes what its functions make of the rows of an array, or fails with the rows."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from transfers import run_both

from hpcmtl.communicators.inproc import RankFailedError
from hpcmtl.data.hdf5 import read_split
from hpcmtl.errors import InputError, TaskFailedError
from hpcmtl.training.artifacts.load import load


def sums_task(**changes):
    """A task that sums the columns of the images in blocks of nine."""
    own = {name: f"own_reductions:{function}" for name, function in (("map", "sums"), ("reduce", "add"))}
    return {"kind": "map_reduce", "input": "small/images", "block": 9, **own, **changes}


DESCRIBED = {"finish": "own_reductions:describe", "outputs": {"total": {"type": "float32", "shape": []}}}


def test_arrays_and_metrics_are_those_of_numpy(bench, small_file):
    """The sums of all rows are published with their split, and have the same bits on 1, 2 and 3 ranks."""
    found = []
    for ranks in (1, 2, 3):
        made = bench({"own": sums_task(**DESCRIBED)})
        outcome = made.run("own", ranks)[0]
        found.append(load(made.artifact("own")).arrays["total"])
        assert outcome.metrics == {"numbers": 61 * 60 / 2}
    with h5py.File(small_file) as file:
        expected = file["images"][:].reshape(61, -1).astype(np.float64).sum(axis=0)

    assert np.allclose(found[0], expected, atol=1e-4)
    assert found[0].tobytes() == found[1].tobytes() == found[2].tobytes()
    assert read_split(made.artifact("own"))[:4].tolist() == [0, 1, 2, 0]


def test_rows_of_one_split(bench, small_file):
    """`split: val` leaves the rows 40 to 47, also where blocks hold rows of two splits."""
    task = sums_task(split="val", **DESCRIBED)

    assert bench({"own": task}).run("own", 2)[0].metrics == {"numbers": sum(range(40, 48))}


def test_the_value_may_be_the_result(bench):
    """Without `finish` the value is a mapping of metrics."""
    task = sums_task(input="small/size", outputs=["total"])
    made = bench({"own": task})

    assert made.run("own", 2)[0].metrics == {"numbers": 1830.0}
    assert load(made.artifact("own")).arrays["total"].shape == (1,)


def test_functions_that_remember_blocks_are_told(bench):
    """A rank has its own blocks alone, so that what `map` keeps between them depends on the number of ranks."""
    told = []
    for function in ("remembering", "sums"):
        bench({"own": sums_task(map=f"own_reductions:{function}", **DESCRIBED)}).run("own", 2, record=told.append)

    assert ["`map` or `reduce` changes own_reductions.SEEN" in each.text for each in told] == [True]


@pytest.mark.parametrize("limit", [0, 1 << 20])
def test_an_array_of_another_task_is_read_exactly(bench, limit):
    """float64 stays float64, from memory and from the file, and another task reads the result."""
    tasks = {
        "own": {"kind": "python", "callable": "own_tasks:arrays", "outputs": ["twice", "label"]},
        "sums": sums_task(input="own/twice", needs={"own": "data"}, block=2, outputs={"total": "int64"}),
        "reader": {
            "kind": "python",
            "callable": "own_tasks:reading",
            "needs": {"sums": "data"},
            "arguments": {"reference": "sums/total"},
        },
    }
    found = run_both(bench(tasks), ["own", "sums", "reader"], limit)

    assert found["sums"] == {"numbers": 6.0}
    assert found["reader"] == {"rows": 2.0, "sum": 56.0}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"map": "own_reductions:fail_from_eighteen"},
            "task own: small/images: map failed for rows 18 to 26 (ZeroDivisionError: row 18 is odd)",
        ),
        ({"map": "own_reductions:leave"}, "task own: small/images: map failed for rows 18 to 26 (SystemExit: 7)"),
        (
            {"reduce": "own_reductions:refuse"},
            "task own: small/images: reduce failed for rows 0 to 17 (KeyError: 'one')",
        ),
        ({"map": "own_reductions:function"}, "task own: small/images: reduce failed for rows 0 to 17 (TypeError: "),
        ({"finish": "own_reductions:broken"}, "task own: finish failed (KeyError: 'nothing')"),
        ({"outputs": ["mean"]}, "task own: own_reductions:add did not return mean; it returned total, numbers"),
        ({"outputs": []}, "task own: total is neither a number nor among `outputs` (none); name arrays there"),
        ({**DESCRIBED, "outputs": {"total": "int64"}}, "output total is declared as int64, but is float32"),
    ],
)
def test_a_failure_names_step_and_rows(bench, changes, said):
    """It fails the task on all ranks alike, and nothing is published."""
    made = bench({"own": sums_task(**changes)})
    with pytest.raises(RankFailedError) as error:
        made.run("own", 3)

    assert isinstance(error.value.__cause__, TaskFailedError)
    assert said in str(error.value.__cause__)
    assert not made.artifact("own").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"input": "small/image"}, "has no dataset 'image'; did you mean 'images'?"),
        ({"input": "smal/images"}, "'smal' is neither under `data` nor a task"),
        ({"outputs": ["split"]}, "'split' is the split of the samples"),
        ({"block": 0}, "tasks.own.block: found 0; write a number that is more than 0"),
        ({"split": "valid"}, "tasks.own.split: found 'valid'"),
        ({"map": "sums"}, "tasks.own.map: found 'sums'"),
        ({"maps": "m:f"}, "tasks.own.maps: "),
    ],
)
def test_what_can_be_known_is_refused_before_the_run(bench, changes, said):
    """An array that is not there, a reserved name, and values that no key can have."""
    with pytest.raises(InputError) as error:
        bench({"own": sums_task(**changes)})

    assert said in str(error.value)


def test_an_array_that_is_not_declared_cannot_be_read(bench, task):
    """A task that trains on an array which `outputs` does not name is refused before the run."""
    tasks = {"own": sums_task(**DESCRIBED), "a": task(input="own/mean", needs={"own": "data"})}
    with pytest.raises(InputError, match="task 'own' publishes no array 'mean'"):
        bench(tasks)


@pytest.mark.parametrize("ranks", [1, 3])
def test_a_python_task_can_use_the_function(bench, small_file, ranks):
    """With its group and an array that it has read."""
    task = {"kind": "python", "callable": "own_tasks:reduced", "arguments": {"reference": "small/digit"}}
    with h5py.File(small_file) as file:
        expected = file["digit"][:].sum()

    assert bench({"own": task}).run("own", ranks)[0].metrics == {"sum": expected}

"""Problems that only the ranks find are refused there, by all of them, before anything is trained or written."""

import h5py
import numpy as np
import pytest
from jobs import family, family_task
from runs import by_mpirun, without_module

from hpcmtl.data.hdf5 import write_dataset_file

pytestmark = [pytest.mark.slow, pytest.mark.timeout(450)]
TINY = {"input": "digits/images", "epochs": 1}


def assert_refused(run, code, *said):
    """The run ended with this code and words, and left nothing but what was there."""
    run.finish()

    assert run.returncode == code, run.said
    for words in said:
        assert words in run.stderr, run.said
    assert run.stdout == ""
    assert "Traceback" not in run.stderr
    assert not (run.folder / "runs").exists()
    assert run.leftovers() == []


def test_everything_of_the_users_that_cannot_be_used(start):
    """Models, losses, optimizers, callables and patterns that do not exist are all reported at once."""
    job = family(
        ranks=2,
        tasks={
            "model": family_task("digit", **TINY, model={"name": "user_code:nothing"}),
            "module": family_task("digit", **TINY, model={"name": "no_such_module:net"}),
            "loss": family_task("digit", **TINY, loss="user_code:no_loss"),
            "optimizer": family_task("digit", **TINY, optimizer={"name": "user_code:no_rule", "learning_rate": 0.1}),
            "callable": {"kind": "python", "callable": "user_code:no_function"},
            "frozen": family_task("digit", **TINY, freeze=["nothing.*"]),
        },
    )

    assert_refused(
        start(job),
        2,
        "6 problems",
        *(f"tasks.{name}" for name in job["tasks"]),
        "no_such_module",
        "user_code:no_function",
        "nothing.*",
    )


def test_nan_in_the_data(start, tmp_path):
    """A NaN in an array that a task reads is refused by file, array and place."""
    images = np.zeros((50, 1, 8, 8), np.float32)
    file = tmp_path / "sick.h5"
    write_dataset_file(file, {"images": images, "digit": np.arange(50) % 10}, np.zeros(50, np.uint8))
    with h5py.File(file, "r+") as opened:  # our own writer refuses it
        opened["images"][31, 0, 4, 4] = np.nan
    job = family(ranks=2, data={"digits": str(file)}, tasks={"digit": family_task("digit", **TINY, metrics=[])})

    assert_refused(start(job), 2, "1 problem", str(file), "images", "sample 31")


def test_another_world_than_asked_for(start):
    """--ranks under an mpirun of another size is refused, once."""
    words = ("run", "job.yaml", "--runs", "runs", "--ranks", "3")
    run = start(family(ranks=2), by_mpirun(2), words)

    assert_refused(run, 3, "--ranks 3 was asked for, but the world has 2 ranks")
    assert run.stderr.count("--ranks 3 was asked for") == 1


def test_mxnet_missing_on_one_rank(start, tmp_path):
    """A node without mxnet ends the run with its rank and the remedy, and not with a wait for ever."""
    missing = without_module(tmp_path, "mxnet", ModuleNotFoundError("no mxnet on this node"), rank=1)
    run = start(family(ranks=2), by_mpirun(2), env=missing)

    assert_refused(run, 3, "rank 1: mxnet==1.9.1 is not installed (no mxnet on this node)", "bootstrap.sh")

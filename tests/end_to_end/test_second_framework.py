"""A job trains by a framework that another package registers, beside the built-in one, on real ranks."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from jobs import family, family_task
from runs import PROGRAM, run_python

pytestmark = [pytest.mark.mpi, pytest.mark.slow, pytest.mark.timeout(600)]

SUPPORT = Path(__file__).parents[1] / "support"
DENSE = {
    "framework": "numpy",
    "model": {"name": "mlp", "widths": [24], "outputs": 10},
    "optimizer": {"name": "sgd", "learning_rate": 0.1, "options": {"momentum": 0.9}},
    "engine": "mpi",
    "epochs": 8,
}
NO_BUILT_IN = "raise ImportError('on purpose')\n"


@pytest.fixture
def package(tmp_path_factory):
    """Environment of an installation in which a package registers the framework of the tests."""
    folder = tmp_path_factory.mktemp("site")
    info = folder / "numpy_framework-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy-framework\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[hpcmtl.frameworks]\nnumpy = numpy_description:NUMPY\n")
    return {"PYTHONPATH": os.pathsep.join([str(folder), str(SUPPORT)])}


def job(ranks, **tasks):
    """A training by the framework of the tests, and all that can be made of its network."""
    dense = family_task("digit", input="digits/images", ranks=ranks, **DENSE)
    return family(
        ranks=ranks,
        tasks={
            "dense": dense,
            "features": {"kind": "extract", "needs": {"dense": "parameters"}, "output": "body"},
            "outputs": {"kind": "predict", "needs": {"dense": "parameters"}},
            "report": {"kind": "evaluate", "needs": {"dense": "parameters"}, "split": "test", "metrics": ["accuracy"]},
            "census": {
                "kind": "python",
                "needs": {"outputs": "data"},
                "callable": "user_code:census",
                "arguments": {"reference": "outputs/main"},
                "outputs": ["votes"],
            },
            **tasks,
        },
    )


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_job_without_the_built_in_framework(start, package, tmp_path, ranks):
    """It trains, extracts, predicts and evaluates where MXNet cannot be imported, and says by which engine."""
    (tmp_path / "mxnet.py").write_text(NO_BUILT_IN)
    env = {"PYTHONPATH": os.pathsep.join([str(tmp_path), package["PYTHONPATH"]])}
    run = start(job(ranks), PROGRAM, env=env).finish()
    tasks = run.results["tasks"]

    assert run.returncode == 0, run.said
    assert tasks["dense"]["engine"] == ("local" if ranks == 1 else "mpi")
    assert tasks["report"]["metrics"]["accuracy"] > 0.8
    assert run.arrays("features")["values"].shape[1] == 24
    assert run.arrays("census")["votes"].sum() == len(run.arrays("outputs")["main"])


def test_two_frameworks_in_one_job(start, package):
    """Features of the built-in framework train a network of the other one; each artifact names its own."""
    tasks = {
        "trunk": family_task("trunk"),
        "codes": {"kind": "extract", "needs": {"trunk": "parameters"}, "output": "encoder"},
        "head": {
            **family_task("digit", **DENSE),
            "needs": {"codes": "data"},
            "input": "codes/values",
            "optimizer": {"name": "sgd", "learning_rate": 0.05},
        },
    }
    run = start(job(2, **tasks), PROGRAM, env=package).finish()
    code = (
        "import hpcmtl, sys\nfor name in sys.argv[2:]:\n"
        "    print(hpcmtl.load(f'{sys.argv[1]}/artifacts/{name}.h5').description.framework)\n"
    )
    done = run_python(run.folder, "-c", code, run.directory, "trunk", "codes", "head", "features")

    assert run.returncode == 0, run.said
    assert done.stdout.split() == ["gluon", "gluon", "numpy", "numpy"], done.stderr
    assert np.isfinite(run.results["tasks"]["head"]["metrics"]["loss"])


def test_a_framework_that_is_not_registered(start):
    """Without the package the job is refused before anything is written, with the nearest name."""
    run = start(job(1), PROGRAM).finish()

    assert run.returncode == 2, run.said
    assert "unknown framework 'numpy'" in run.stderr
    assert not (run.folder / "runs").exists()

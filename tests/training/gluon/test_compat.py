"""mxnet imports and trains on every numpy from 1.23 to 1.26, and what does not fit is refused with the reason."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import hpcmtl
from hpcmtl.errors import EnvironmentUnfitError
from hpcmtl.training.gluon import compat

ROOT = Path(hpcmtl.__file__).parents[1]
TRAIN = """
import numpy as np
from hpcmtl.training.gluon.compat import import_mxnet
mx = import_mxnet()
from mxnet import autograd, gluon
mx.random.seed(1)
net = gluon.nn.Dense(1)
net.initialize()
trainer = gluon.Trainer(net.collect_params(), "adam", {"learning_rate": 0.1}, kvstore=None)
x = mx.nd.array(np.arange(8.0).reshape(4, 2))
losses = []
for _ in range(4):
    with autograd.record():
        loss = ((net(x) - 1) ** 2).mean()
    loss.backward()
    trainer.step(1)
    losses.append(float(loss.asscalar()))
import importlib.util, sys
light = not {"pandas", "scipy.stats", "sklearn"} & sys.modules.keys()
print(np.__version__, losses[-1] < losses[0], light, importlib.util.find_spec("sklearn") is not None)
"""


def train(path=()):
    """Import mxnet in a new process, train four steps of adam, and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", TRAIN],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([*map(str, path), str(ROOT)]), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_trains_on_the_numpy_of_this_environment():
    """With the pinned numpy mxnet imports, and four steps of adam lower the loss; what that needs not is not loaded."""
    assert train() == [np.__version__, "True", "True", "True"]


@pytest.mark.slow
def test_the_import_warns_of_nothing():
    """With every warning an error mxnet imports all the same: what it is known to warn of is silenced."""
    code = "from hpcmtl.training.gluon.compat import import_mxnet; import_mxnet()"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_trains_on_the_oldest_numpy(tmp_path):
    """The same holds on numpy 1.23.5, where numpy.bool still is an alias in its last days."""
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:"]
    subprocess.run([*install, "--target", tmp_path, "numpy==1.23.5"], check=True, timeout=240)

    assert train(path=[tmp_path]) == ["1.23.5", "True", "True", "True"]


def test_numpy_2_is_refused(monkeypatch):
    """On numpy 2 the error says which numpy was found and which to install, before mxnet fails in its own way."""
    monkeypatch.setattr(compat.np, "__version__", "2.1.0")

    with pytest.raises(EnvironmentUnfitError, match=r"numpy 2\.1\.0: install 'numpy>=1\.23,<2'"):
        compat.import_mxnet()


def package(folder, files):
    """Write a package of `files` (path -> text) that stands before the installed one."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


NO_MXNET_BUILT = "raise ImportError('Extension horovod.mxnet has not been built: mpi_lib.so not found\\nIf this ...')"
GLOO_ALONE = "def mpi_built(): return False\ndef gloo_built(): return True\n"


@pytest.mark.parametrize(
    ("files", "function", "reason"),
    [
        ({"mxnet.py": "raise ModuleNotFoundError('no mxnet here')"}, "import_mxnet", "mxnet==1.9.1 is not installed"),
        ({"mxnet.py": "raise OSError('libmxnet.so: no')"}, "import_mxnet", "cannot be imported (libmxnet.so: no)"),
        (
            {"mxnet.py": "", "horovod/__init__.py": "raise ModuleNotFoundError('gone')"},
            "import_horovod",
            "Horovod is not installed (gone)",
        ),
        (
            {"mxnet.py": "", "horovod/__init__.py": "", "horovod/mxnet.py": NO_MXNET_BUILT},
            "import_horovod",
            "Horovod was built without MXNet",
        ),
        (
            {"mxnet.py": "", "horovod/__init__.py": "", "horovod/mxnet.py": GLOO_ALONE},
            "import_horovod",
            "Horovod was built without MPI: launchers/bootstrap.sh",
        ),
    ],
    ids=["no-mxnet", "broken-mxnet", "no-horovod", "horovod-without-mxnet", "horovod-without-mpi"],
)
def test_what_does_not_import_is_refused_with_the_reason(tmp_path, files, function, reason):
    """Each way in which an installation is unfit is told apart, in one line that says what to do."""
    code = f"""
from hpcmtl.errors import EnvironmentUnfitError
from hpcmtl.training.gluon import compat
try:
    compat.{function}()
except EnvironmentUnfitError as error:
    print(error)
"""
    path = os.pathsep.join([str(package(tmp_path, files)), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert reason in done.stdout
    assert done.stdout.count("\n") == 1
    assert "launchers/bootstrap.sh" in done.stdout


def test_horovod_has_mpi():
    """The Horovod of this environment has all three parts, and is the same module at the next call."""
    horovod = pytest.importorskip("horovod") and compat.import_horovod()

    assert horovod.mpi_built()
    assert compat.import_horovod() is horovod


@pytest.mark.slow
@pytest.mark.parametrize("module", ["torch", "ortools.sat.python.cp_model"])
def test_other_libraries_are_imported_after_horovod(module):
    """Horovod's import leaves its symbols to itself: a library that comes later finds its own, and is not crashed."""
    if importlib.util.find_spec(module.partition(".")[0]) is None:
        pytest.skip(f"{module} is not installed")
    code = f"from hpcmtl.training.gluon.compat import import_horovod; import_horovod(); import {module}; print('ok')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=100)

    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr

"""A network, loss or optimizer of another framework than its task has is told as such, with what to write."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
import yaml

from hpcmtl.data.hdf5 import write_dataset_file
from hpcmtl.errors import InputError
from hpcmtl.jobfile.kinds import FrameworkNeeds
from hpcmtl.jobfile.tasks import Optimizer, ParameterGroup
from hpcmtl.networks.description import Leaf
from hpcmtl.networks.models import UserModel
from hpcmtl.networks.objective import Objective
from hpcmtl.training.frameworks import open_framework
from hpcmtl.training.other_frameworks import foreign_objects

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("torch")
MODULES = """
from torch import nn

class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(4, 3)

    def forward(self, x):
        return self.dense(x)

def make():
    return Head()
"""
BLOCKS = """
from mxnet.gluon import HybridBlock

class Block(HybridBlock):
    pass
"""


@pytest.fixture(autouse=True)
def _users_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The modules of a user, beside the job."""
    (tmp_path / "their_modules.py").write_text(MODULES)
    (tmp_path / "their_blocks.py").write_text(BLOCKS)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("their_modules", "their_blocks"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def needs(model: str = "", loss: str = "l2", **others: object) -> FrameworkNeeds:
    """The needs of a task that trains a network of a user's."""
    network = Leaf(UserModel(name=model)) if model else None
    return FrameworkNeeds(
        network=network, samples={"input": (4,)}, objectives=(Objective("main", "", loss, 1.0, ()),), **others
    )  # type: ignore[arg-type]


def test_objects_of_another_framework_are_named() -> None:
    """Classes, objects and functions of PyTorch in a task of Gluon; those of the user and of its own pass."""
    groups = {"a.*": ParameterGroup(name="torch.optim:Adam")}
    optimizer = Optimizer(name="torch.optim:SGD", learning_rate=0.1, groups=groups)
    told = ", and the framework of the task is gluon: write `framework: torch`"

    assert [str(each) for each in foreign_objects(needs("their_modules:Head", optimizer=optimizer), "gluon")] == [
        f"model their_modules:Head: makes a PyTorch Module{told}",
        f"optimizer torch.optim:SGD: makes a PyTorch SGD{told}",
        f"optimizer torch.optim:Adam: makes a PyTorch Adam{told}",
    ]
    function = next(iter(foreign_objects(needs(loss="torch.nn.functional:cross_entropy"), "gluon")))
    assert function.message == f"is a PyTorch cross_entropy{told}"
    assert list(foreign_objects(needs("their_modules:Head", optimizer=optimizer), "torch")) == []
    assert list(foreign_objects(needs("their_modules:make", loss="math:hypot"), "gluon")) == []
    assert list(foreign_objects(needs("no_such_module:Net"), "gluon")) == []


def test_what_a_function_makes_is_looked_at() -> None:
    """A function of the user's belongs to no framework, and what it returns does."""
    with pytest.raises(InputError, match="their_modules:make: makes a PyTorch Module, .* write `framework: torch`"):
        open_framework("gluon").check(needs("their_modules:make"))
    with pytest.raises(InputError, match="makes a PosixPath, not a Gluon HybridBlock"):
        open_framework("gluon").check(needs("pathlib:Path"))


@pytest.mark.slow
def test_validate_ends_with_one_sentence(tmp_path: Path) -> None:
    """Both ways round, in a process that has not imported the other framework: code 2, and no traceback."""
    write_dataset_file(tmp_path / "d.h5", {"x": np.ones((9, 4)), "y": np.arange(9) % 3}, np.arange(9) % 3)
    task = {"kind": "train", "input": "d/x", "target": "d/y", "loss": "softmax_ce", "epochs": 1}
    job = {"hpcmtl": 1, "job": "j", "ranks": 1, "data": {"d": "d.h5"}}
    said = {}
    for framework, model in (("gluon", "their_modules:Head"), ("torch", "their_blocks:Block")):
        tasks = {"t": {**task, "framework": framework, "model": {"name": model}}}
        (tmp_path / "j.yaml").write_text(yaml.safe_dump({**job, "tasks": tasks}))
        command = [sys.executable, "-m", "hpcmtl", "validate", "j.yaml"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
        said[framework] = done.returncode, done.stderr

    assert said["gluon"][0] == said["torch"][0] == 2
    assert "the framework of the task is gluon: write `framework: torch`" in said["gluon"][1]
    assert (
        "it imports MXNet Gluon, and the framework of the task is torch: write `framework: gluon`" in said["torch"][1]
    )
    assert not any("Traceback" in text for _, text in said.values())

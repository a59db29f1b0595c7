"""A name as Python writes it, or a class without its module, is told with the form that a job file takes."""

from __future__ import annotations

from typing import Any

import pytest

from hpcmtl.errors import InputError
from hpcmtl.jobfile.load import parse_job

TASK = {"kind": "train", "model": {"name": "mlp", "outputs": 2}, "input": "d/x", "target": "d/y", "loss": "l2"}


def rate(name: str, **others: Any) -> dict[str, Any]:
    """An optimizer of this name."""
    return {"optimizer": {"name": name, "learning_rate": 0.1, **others}}


@pytest.mark.parametrize(
    ("framework", "keys", "said"),
    [
        ("torch", {"loss": "CrossEntropyLoss"}, "; write 'softmax_ce' or 'torch.nn:CrossEntropyLoss'"),
        ("torch", {"loss": "torch.nn.CrossEntropyLoss"}, "; write 'softmax_ce' or 'torch.nn:CrossEntropyLoss'"),
        ("torch", {"loss": "MSELoss"}, "; write 'torch.nn:MSELoss'"),
        ("torch", {"loss": "own.losses.margin"}, "; write 'own.losses:margin'"),
        ("torch", {"loss": "softmax"}, "; did you mean 'softmax_ce'?"),
        ("gluon", {"loss": "CrossEntropyLoss"}, "; write 'softmax_ce'"),
        ("gluon", {"loss": "L2Loss"}, "; write 'mxnet.gluon.loss:L2Loss'"),
        ("torch", rate("torch.optim.AdamW"), "; write 'adamw' or 'torch.optim:AdamW'"),
        ("torch", rate("AdamW"), "; did you mean 'adamw'?"),
        ("torch", rate("sgd", schedule={"kind": "own.half"}), "; write 'own:half'"),
        ("torch", {"model": {"name": "nets.Head", "outputs": 2}}, "unknown model 'nets.Head'; write 'nets:Head'"),
        ("torch", {"model": {"name": "mpl", "outputs": 2}}, "unknown model 'mpl'; did you mean 'mlp'?"),
    ],
)
def test_the_form_with_a_colon(framework: str, keys: dict[str, Any], said: str) -> None:
    """The message ends with what to write."""
    tasks = {"t": {**TASK, "epochs": 1, "framework": framework, **keys}}
    with pytest.raises(InputError) as refused:
        parse_job({"hpcmtl": 1, "job": "j", "data": {"d": "d.h5"}, "tasks": tasks})
    (problem,) = refused.value.problems

    assert problem.message.endswith(said)

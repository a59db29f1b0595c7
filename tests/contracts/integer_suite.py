"""Contract of integer inputs: ids above 2^24, which float32 merges, reach a network as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.jobfile.tasks import Optimizer
from hpcmtl.networks.description import Leaf
from hpcmtl.networks.models import UserModel
from hpcmtl.networks.objective import Objective
from hpcmtl.training.learner_settings import LearnerSettings
from hpcmtl.training.step_comparison import StepComparison
from hpcmtl.training.step_input import StepInput

if TYPE_CHECKING:
    from hpcmtl.training.framework import Framework

ROWS = 2**24 + 4
IDS = np.array([[2**24, 1], [2**24 + 1, 1], [2**24 + 2, 0], [2**24 + 3, 0]], np.uint32)
TABLE = "table.weight"


def check_large_ids(framework: Framework, name: str) -> None:
    """Outputs, losses and gradients of a table of numbers are those of its rows, in numpy; a step compares as equal.

    Args:
        framework: the framework.
        name: reference to its block or module `Lookup`.
    """
    network = Leaf(UserModel.model_validate({"name": name, "input_type": "integer", "rows": ROWS}))
    settings = LearnerSettings(Optimizer(name="sgd", learning_rate=1.0), seed=3)
    learner = framework.learner(network, {"input": (2,)}, (Objective("main", "", "l2", 1.0, ()),), settings)
    (table,) = learner.parameters_matching(TABLE).values()
    expected, targets = table[IDS].sum(axis=1), np.zeros((4, 1), np.float32)
    batch = StepInput({"input": IDS}, (targets,), np.ones(4, np.float32), 4, ranks=2)

    assert learner.compare_step(batch, 1.0) == StepComparison(coupled=False)
    assert np.array_equal(learner.outputs({"input": IDS})["main"], expected)
    learner.forward_backward(batch, [1.0], 1.0)
    gradient = learner.gradients()[TABLE]
    assert np.flatnonzero(gradient).tolist() == [0, 1, *range(2**24, ROWS)]
    np.testing.assert_allclose(gradient[2**24 :], expected, rtol=1e-6)
    np.testing.assert_allclose(learner.collect_losses(), [[(expected**2).sum() / 8]], rtol=1e-5)

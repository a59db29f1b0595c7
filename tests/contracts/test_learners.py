"""Every framework's learner keeps the contract."""

import learner_suite as suite
import pytest

from hpcmtl.training.gluon.framework import GluonFramework


@pytest.mark.parametrize("check", suite.CHECKS, ids=lambda check: check.__name__)
def test_gluon(check):
    """Gluon's learner agrees with formulas in numpy."""
    check(GluonFramework())


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_gluon_objective_gradients(dropout):
    """Gluon gives the gradient of each objective on the trunk, with equal masks of dropout."""
    suite.check_objective_gradients(GluonFramework(), dropout)

"""Every framework's learner keeps the contract."""

import learner_suite as suite
import pytest
import replica_suite
from numpy_framework import NumpyFramework

from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.networks.models import ConvNet
from hpcmtl.training.frameworks import open_framework
from hpcmtl.training.gluon.framework import GluonFramework

CONVNET = ConvNet(channels=(4,), widths=(8,), outputs=3)


@pytest.fixture
def torch_framework():
    """PyTorch, where it is installed."""
    pytest.importorskip("torch")
    return open_framework("torch")


@pytest.fixture
def copying_framework(torch_framework):
    """PyTorch with the learner for GPUs, on the CPU: all its views are copies that it has to copy back."""
    from hpcmtl.training.torch.gpu_learner import TorchGpuLearner

    class Copying(type(torch_framework)):
        def learner(self, *arguments, **options):
            return TorchGpuLearner(*arguments, **options)

    return Copying()


@pytest.mark.parametrize("check", suite.CHECKS, ids=lambda check: check.__name__)
def test_gluon(check):
    """Gluon's learner agrees with formulas in numpy."""
    check(GluonFramework())


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_gluon_objective_gradients(dropout):
    """Gluon gives the gradient of each objective on the trunk, with equal masks of dropout."""
    suite.check_objective_gradients(GluonFramework(), dropout)


@pytest.mark.parametrize("check", suite.CHECKS, ids=lambda check: check.__name__)
def test_numpy(check):
    """The learner of the tests' own framework agrees with formulas in numpy."""
    check(NumpyFramework())


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_numpy_objective_gradients(dropout):
    """It gives the gradient of each objective on the trunk, with equal masks of dropout."""
    suite.check_objective_gradients(NumpyFramework(), dropout)


@pytest.mark.parametrize("ranks", [1, 3])
@pytest.mark.parametrize("check", replica_suite.CHECKS, ids=lambda check: check.__name__)
def test_numpy_on_a_group(check, ranks):
    """Ranks of the tests' own framework train as one rank does on the concatenated batches."""
    setup = replica_suite.Setup(NumpyFramework(), "mpi", optimizers=((replica_suite.SGD, 0.05),))
    run_ranks(ranks, lambda group: check(group, setup))


@pytest.mark.parametrize("check", suite.CHECKS, ids=lambda check: check.__name__)
def test_torch(check, torch_framework):
    """PyTorch's learner agrees with formulas in numpy."""
    check(torch_framework)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_torch_objective_gradients(dropout, torch_framework):
    """PyTorch gives the gradient of each objective on the trunk, with equal masks of dropout."""
    suite.check_objective_gradients(torch_framework, dropout)


@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("check", replica_suite.ALLREDUCE_CHECKS, ids=lambda check: check.__name__)
def test_torch_on_a_group(check, ranks, torch_framework):
    """Ranks of PyTorch train as one rank does on the concatenated batches."""
    setup = replica_suite.Setup(torch_framework, "mpi", models=(replica_suite.MLP, CONVNET))
    run_ranks(ranks, check, setup)


@pytest.mark.parametrize("check", suite.CHECKS, ids=lambda check: check.__name__)
def test_torch_with_copies(check, copying_framework):
    """The learner for GPUs keeps the contract on the CPU, its views included, though they share no memory."""
    check(copying_framework)


@pytest.mark.parametrize("ranks", [1, 3])
@pytest.mark.parametrize("check", replica_suite.ALLREDUCE_CHECKS, ids=lambda check: check.__name__)
def test_torch_with_copies_on_a_group(check, ranks, copying_framework):
    """Values that a collective writes into copies reach the parameters, by the engine of numpy views."""
    setup = replica_suite.Setup(copying_framework, "mpi", models=(replica_suite.MLP, CONVNET))
    run_ranks(ranks, check, setup)

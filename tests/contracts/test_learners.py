"""Every framework's learner keeps the contract."""

from dataclasses import replace

import labelled_suite
import learner_suite as suite
import normalised_suite
import pytest
import replica_suite
import several_targets_suite
from numpy_framework import NumpyFramework

from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.errors import TaskFailedError
from hpcmtl.frameworks.device import HOST, Device
from hpcmtl.networks.models import ConvNet
from hpcmtl.training.frameworks import open_framework
from hpcmtl.training.gluon.framework import GluonFramework

pytestmark = pytest.mark.slow

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


@pytest.fixture
def second_context(monkeypatch):
    """Gluon on the context cpu(1) in place of a GPU: no operator takes arrays of it and of the host's together."""
    mx = pytest.importorskip("mxnet")
    from hpcmtl.training.gluon import learner, losses, network

    def refused(array, **_):
        raise AssertionError(f"a view of memory of {array.context}")

    monkeypatch.setattr(network, "context_of", lambda _device: mx.cpu(1))
    monkeypatch.setattr(learner, "view", refused)
    monkeypatch.setattr(losses, "filled", refused)

    class OnSecondContext(GluonFramework):
        def learner(self, network, samples, objectives, settings, device=HOST):
            return super().learner(network, samples, objectives, settings, Device(kind="gpu", threads=device.threads))

    return OnSecondContext()


NOT_ON_GPUS = {"check_device"}
ON_GPUS = [check for check in suite.CHECKS if check.__name__ not in NOT_ON_GPUS]


@pytest.mark.parametrize("check", ON_GPUS, ids=lambda check: check.__name__)
def test_gluon_on_another_context(check, second_context):
    """Gluon's learner for GPUs keeps the contract, with all arrays on one context and no view of its memory."""
    check(second_context)


@pytest.mark.parametrize("engine", ["mpi", "kvstore"])
@pytest.mark.parametrize("check", replica_suite.ALLREDUCE_CHECKS, ids=lambda check: check.__name__)
def test_gluon_on_another_context_on_a_group(check, engine, second_context):
    """Ranks train there as one rank does, by copies and by native arrays."""
    run_ranks(2, check, replica_suite.Setup(second_context, engine, models=(replica_suite.MLP, CONVNET)))


@pytest.mark.parametrize("check", normalised_suite.CHECKS, ids=lambda check: check.__name__)
def test_gluon_on_another_context_over_a_group(check, second_context):
    """Batch normalisation by the whole batch works there as well."""
    import gluon_suite

    case = gluon_suite.normalised_case()
    run_ranks(2, check, replace(case, setup=replace(case.setup, framework=second_context)))


@pytest.mark.parametrize("check", suite.CHECKS, ids=lambda check: check.__name__)
def test_gluon(check):
    """Gluon's learner agrees with formulas in numpy."""
    check(GluonFramework())


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_gluon_objective_gradients(dropout):
    """Gluon gives the gradient of each objective on the trunk, with equal masks of dropout."""
    suite.check_objective_gradients(GluonFramework(), dropout)
    suite.check_gradients_by_portions(GluonFramework(), dropout)
    suite.check_weights_of_shared_parameters(GluonFramework(), dropout)


@pytest.mark.parametrize("check", suite.CHECKS, ids=lambda check: check.__name__)
def test_numpy(check):
    """The learner of the tests' own framework agrees with formulas in numpy."""
    check(NumpyFramework())


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_numpy_objective_gradients(dropout):
    """It gives the gradient of each objective on the trunk, with equal masks of dropout."""
    suite.check_objective_gradients(NumpyFramework(), dropout)
    suite.check_gradients_by_portions(NumpyFramework(), dropout)
    suite.check_weights_of_shared_parameters(NumpyFramework(), dropout)


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
    suite.check_gradients_by_portions(torch_framework, dropout)
    suite.check_weights_of_shared_parameters(torch_framework, dropout)


@pytest.mark.parametrize("ranks", [1, pytest.param(2, marks=pytest.mark.slow), 3])
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


OTHERS = ("second_context", "torch_framework", "copying_framework")


@pytest.mark.parametrize("check", labelled_suite.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize(("name", "labels"), [("numpy", 1), ("gluon", 2), *((name, 2) for name in OTHERS)])
def test_missing_labels(check, name, labels, request):
    """Labels that are missing, some or all of a sample, change nothing; the tests' own framework has one a sample."""
    made = {"numpy": NumpyFramework, "gluon": GluonFramework}
    framework = made[name]() if name in made else request.getfixturevalue(name)
    setup = replica_suite.Setup(framework, "mpi")
    for ranks in (1,) if check is labelled_suite.check_gradients else (1, 2, 3):
        run_ranks(ranks, check, setup, labels)


@pytest.mark.parametrize("name", ["numpy", "gluon", *OTHERS])
def test_rows_with_two_targets(name, request):
    """A row may have two targets, each with a weight, as samples that are mixed do."""
    made = {"numpy": NumpyFramework, "gluon": GluonFramework}
    several_targets_suite.check_two_targets_a_row(made[name]() if name in made else request.getfixturevalue(name))


def test_a_loss_for_several_labels_cannot_miss_some(torch_framework):
    """A loss that gives one value for all labels of a sample refuses a sample of which some are missing."""
    made, (digit, size) = labelled_suite.network(2)
    of_sample = replace(size, loss="torch.nn:MSELoss")
    learner = torch_framework.learner(
        made, {"input": replica_suite.IMAGE}, (digit, of_sample), labelled_suite.LearnerSettings(labelled_suite.SGD)
    )
    with pytest.raises(TaskFailedError, match="the loss gives one value for all of them; use l2, l1, huber"):
        learner.forward_backward(labelled_suite.labelled_batches(2)[0], [1.0, 1.0], 1.0)

"""Steps of PyTorch's optimizers without the import of its compiler."""

import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")

from hpcmtl.training.torch.make_optimizer import CLASSES  # noqa: E402 - it needs PyTorch
from hpcmtl.training.torch.without_compiler import take_step  # noqa: E402 - it needs PyTorch

PROGRAM = """
import sys
import torch
from hpcmtl.jobfile.tasks import Optimizer
from hpcmtl.training.torch.optimizer import TorchUpdater
parameter = torch.nn.Parameter(torch.ones(3))
parameter.grad = torch.full((3,), 0.5)
updater = TorchUpdater({"w": parameter}, Optimizer(name=sys.argv[1], learning_rate=0.1))
updater.update(0.1, 1.0)
updater.load_state(updater.state())
updater.update(0.1, 1.0)
print("torch._dynamo" in sys.modules, parameter.tolist())
"""


@pytest.mark.parametrize("name", CLASSES)
def test_steps_are_those_of_the_optimizer(name):
    """Three steps have the bits of the public method, for each optimizer that a job may name; no graph is kept."""

    def trained(step):
        generator = torch.Generator().manual_seed(3)
        parameters = [torch.nn.Parameter(torch.randn(4, 3, generator=generator)) for _ in range(2)]
        made = CLASSES[name](parameters, lr=0.01)
        for _ in range(3):
            for each in parameters:
                each.grad = torch.randn(4, 3, generator=generator)
            step(made)
        assert not any(each.grad_fn for each in parameters)
        return parameters

    plain, ours = trained(lambda optimizer: optimizer.step()), trained(take_step)

    assert all(torch.equal(one, other) for one, other in zip(plain, ours, strict=True))


def test_hooks_and_classes_of_users_are_called():
    """An optimizer with a hook, and one of a user, take their steps by their public method."""
    parameter, seen = torch.nn.Parameter(torch.ones(2)), []
    parameter.grad = torch.ones(2)
    hooked = torch.optim.SGD([parameter], lr=0.1)
    hooked.register_step_post_hook(lambda *_given: seen.append("hook"))

    class Own(torch.optim.SGD):
        def step(self, closure=None):
            seen.append("own")
            return super().step(closure)

    take_step(hooked)
    take_step(Own([parameter], lr=0.1))

    assert seen == ["hook", "own"]
    assert parameter.tolist() == pytest.approx([0.8, 0.8])


@pytest.mark.slow  # a process that imports PyTorch
@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_the_compiler_is_not_imported(name):
    """A rank makes an optimizer, takes steps and restores its state without the second half of PyTorch's import."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, name], capture_output=True, text=True, timeout=120, check=False
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("False [0.")

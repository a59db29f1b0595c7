"""`validate` tries all that a task asks of PyTorch, and says what cannot be used under the key that it belongs to."""

import copy
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import replica_suite
from pydantic import ValidationError

from hpcmtl.errors import InputError, TaskFailedError
from hpcmtl.jobfile.arrays import ArraySpec
from hpcmtl.jobfile.kinds import FrameworkNeeds
from hpcmtl.jobfile.load import parse_job
from hpcmtl.jobfile.tasks import Optimizer, ParameterGroup
from hpcmtl.networks.description import Leaf
from hpcmtl.networks.models import Mlp, UserModel
from hpcmtl.networks.objective import Objective
from hpcmtl.training.frameworks import open_framework
from hpcmtl.training.kinds.schemas import Train
from hpcmtl.training.learner_settings import LearnerSettings

torch = pytest.importorskip("torch")

SGD = Optimizer(name="sgd", learning_rate=0.1)
NUMBERS = (ArraySpec(samples=10, shape=()),)
LAYERWISE = Optimizer(name="own_modules:layerwise", learning_rate=0.1)
OWN_MODULES = Path(__file__).parents[2] / "contracts/own_modules.py"
LINE = 1 + OWN_MODULES.read_text().splitlines().index("    return output - target.reshape(-1, 1).repeat(1, 7)")
LABELS = (ArraySpec(samples=10, shape=(), kind="i"),)


@pytest.fixture(autouse=True)
def _users_code(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "contracts"))
    monkeypatch.delitem(sys.modules, "own_modules", raising=False)


def needs(model, **others):
    """The needs of a task with this network."""
    model = UserModel(name=f"own_modules:{model}") if isinstance(model, str) else model
    objectives = (Objective("main", "", others.pop("loss", "softmax_ce"), 1.0, ()),)
    asked = {"optimizer": SGD, "targets": LABELS, "samples": {"input": (1, 6, 6)}, **others}
    return FrameworkNeeds(network=Leaf(model), objectives=objectives, **asked)


def own_modules():
    """The users' code, with torch imported before."""
    open_framework("torch")
    import own_modules as found

    return found


def made(model, optimizer=SGD, loss="softmax_ce"):
    """A learner for images of 6 x 6."""
    objectives = (Objective("main", "", loss, 1.0, ()),)
    return open_framework("torch").learner(Leaf(model), {"input": (1, 6, 6)}, objectives, LearnerSettings(optimizer))


def test_the_facts_of_a_sound_network():
    """Shapes, tied names and parameters that no output depends on are found."""
    framework = open_framework("torch")
    tied, unused = framework.check(needs("Tied")), framework.check(needs("Unused"))

    assert tied.outputs == ((3,),)
    assert tied.tied == (("decode.weight", "encode.weight"),)
    assert unused.unused == ("unused.bias", "unused.weight")
    assert unused.parameters["used.weight"] == (3, 36)


@pytest.mark.parametrize("model", ["normalised", "Lazy", "Noisy", "Tied"])
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_sound_networks_pass(model, precision):
    """Networks of users are taken in every precision."""
    assert open_framework("torch").check(needs(model, precision=precision)).outputs == ((3,),)


@pytest.mark.parametrize(
    ("asked", "place", "said"),
    [
        (needs("Lost"), "model", "a list of modules, which PyTorch does not take for children"),
        (needs("half"), "model", "2 parameters are not float32: 1.weight (float16), 1.bias (float16)"),
        (needs("normalised", samples={"input": (3, 6, 6)}), "model", "cannot run on one sample of shape (3, 6, 6)"),
        (needs("untracked"), "model", "1 without running statistics needs several samples"),
        (needs("normalised", part="9"), "part 9", "has no module '9'"),
        (needs("normalised", freeze=("trunk.*",)), "freeze trunk.*", "matches no parameter"),
        (needs("normalised", freeze=("*",)), "freeze", "leaves no parameter to train"),
        (needs("Tied", sync_batchnorm=True), "sync_batchnorm", "the network has no batch normalisation"),
        (needs("Reassigning"), "model", "assigns another tensor to mean"),
        (needs("column", loss="torch.nn:MSELoss", targets=NUMBERS), "loss", "each sample is set against all others"),
        (needs(Mlp(outputs=3), optimizer=LAYERWISE), "optimizer own_modules:layerwise", "rates of their own"),
        (
            needs(Mlp(outputs=3), optimizer=SGD.model_copy(update={"groups": {"head.*": ParameterGroup()}})),
            "optimizer",
            "the pattern head.* matches no trained parameter",
        ),
        (needs("normalised", loss="own_modules:reduced"), "loss own_modules:reduced", "gives values of shape ()"),
        (
            needs(Mlp(outputs=3), optimizer=Optimizer(name="own_modules:Hidden", learning_rate=0.1)),
            "optimizer own_modules:Hidden",
            "keeps 'all' in its `state`",
        ),
        (
            needs(Mlp(outputs=3), optimizer=Optimizer(name="own_modules:Sharpness", learning_rate=0.1)),
            "optimizer own_modules:Sharpness",
            "asks for a closure, to compute the loss several times a step (as L-BFGS and SAM do); hpcmtl makes one",
        ),
        (
            needs(Mlp(outputs=3), optimizer=Optimizer(name="own_modules:Asserting", learning_rate=0.1)),
            "model optimizer own_modules:Asserting",
            "an update of the parameters by `step()`, without a closure, fails: AssertionError: requires closure",
        ),
        (
            needs(Mlp(outputs=3), optimizer=Optimizer(name="torch.optim:LBFGS", learning_rate=0.1)),
            "optimizer torch.optim:LBFGS",
            "use an optimizer with `step()` alone",
        ),
        (
            needs("normalised", loss="own_modules:misfit"),
            "loss",
            "own_modules:misfit: fails on outputs of shape (2, 3) and targets of shape (2,): RuntimeError: ",
        ),
        (needs("normalised", loss="own_modules:misfit"), "loss", f"({OWN_MODULES}:{LINE})"),
        (
            needs("normalised", loss="own_modules:summed"),
            "loss own_modules:summed",
            "its reduction is 'sum'; hpcmtl takes",
        ),
        (needs("Moving"), "model", "leave `.cuda()` and `.to(device)` out: hpcmtl moves network and samples"),
        (needs("nothing"), "model own_modules:nothing", "has no attribute 'nothing'"),
        (needs("Keeping"), "model own_modules:Keeping", "cannot be built with {}"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_what_cannot_be_used_is_refused(asked, place, said):
    """The problem has the key of the task, and words for it."""
    with pytest.raises(InputError) as refused:
        open_framework("torch").check(asked)

    assert any(place in each.where and said in each.message for each in refused.value.problems), refused.value


def test_a_reduction_is_no_matter_of_arguments():
    """The message begins with what is wrong."""
    with pytest.raises(InputError, match="loss own_modules:summed: its reduction is 'sum'"):
        open_framework("torch").check(needs("normalised", loss="own_modules:summed"))


def test_a_module_that_is_made_once_is_refused():
    """Two networks with the same parameters would train each other."""
    with pytest.raises(InputError, match="belong to a network that was built before"):
        open_framework("torch").check(needs("kept"))


def test_a_parameter_that_only_some_batches_reach_fails_the_task():
    """It would be left untrained without a word."""
    import replica_suite

    from hpcmtl.training.learner_settings import LearnerSettings

    framework = open_framework("torch")
    model, objectives = Leaf(UserModel(name="own_modules:Branching")), replica_suite.CLASSES
    learner = framework.learner(model, {"input": (1, 6, 6)}, objectives, LearnerSettings(SGD))

    with pytest.raises(TaskFailedError, match="sometimes.bias, sometimes.weight take part in this batch"):
        learner.forward_backward(replica_suite.batches()[0], [1.0], 1.0)


def test_what_the_first_step_shows():
    """Rows that look at each other, and random numbers, are found before training."""
    import replica_suite

    from hpcmtl.training.learner_settings import LearnerSettings

    framework, batch = open_framework("torch"), replace(replica_suite.batches()[0], ranks=2)
    found = {}
    for name in ("Paired", "Noisy", "Tied"):
        model = Leaf(UserModel(name=f"own_modules:{name}"))
        learner = framework.learner(model, {"input": (1, 6, 6)}, replica_suite.CLASSES, LearnerSettings(SGD))
        comparison = learner.compare_step(batch, 0.1)
        found[name] = (comparison.coupled, comparison.draws)

    assert found == {"Paired": (True, False), "Noisy": (False, True), "Tied": (False, False)}


def test_statistics_of_the_batch_need_the_whole_batch():
    """Micro-batches are refused with them where the job file is read."""
    keys = {"input": "d/x", "target": "d/y", "loss": "l2", "epochs": 1, "model": {"name": "mlp", "outputs": 1}}

    with pytest.raises(ValidationError, match="needs the whole batch at once"):
        Train.model_validate({**keys, "sync_batchnorm": True, "accumulate": 2})


def test_an_output_of_a_part_is_not_changed_by_the_next_one():
    """A part is stored as it puts out, although the next one works in place."""
    network = open_framework("torch").network(
        Leaf(UserModel(name="own_modules:in_place")), {"input": (1, 6, 6)}, ("main",)
    )
    inputs = np.random.default_rng(0).normal(size=(4, 1, 6, 6)).astype(np.float32)

    assert network.outputs({"input": inputs}, "1")["values"].min() < 0


def test_what_passes_change_is_restored_and_named():
    """Attributes, hidden buffers and those of a loss are as before a comparison, which names them."""
    learner = made(UserModel(name="own_modules:Counter"), loss="own_modules:Averaging")
    before = learner.module.calls, learner.module.hidden.clone()
    found = learner.compare_step(replica_suite.batches()[0], 0.1)

    assert found.update == ""
    assert "Counter.calls" in found.attributes
    assert "Counter.hidden" in found.attributes
    assert found.attributes.endswith("keep such values in buffers of the network (`register_buffer`)")
    assert (learner.module.calls, learner.module.hidden.tolist()) == (before[0], before[1].tolist())
    assert learner._loss.functions[0].mean.item() == 0
    assert learner.traits.may_draw


@pytest.mark.parametrize("optimizer", ["Centring", "Clearing"])
def test_an_optimizer_that_replaces_gradients(optimizer):
    """Steps are those of the optimizer in a plain script: no gradient of a step before is left."""
    learner = made(Mlp(outputs=3), optimizer=Optimizer(name=f"own_modules:{optimizer}", learning_rate=0.1))
    module = copy.deepcopy(learner.module)
    plain = getattr(own_modules(), optimizer)(module.parameters(), lr=0.1)
    for batch in replica_suite.batches():
        learner.forward_backward(batch, [1.0], 1 / batch.global_samples)
        norm = learner.gradient_norm()
        learner.apply(0.1)
        plain.zero_grad()
        losses = torch.nn.functional.cross_entropy(
            module(torch.tensor(batch.inputs["input"])), torch.tensor(batch.targets[0]), reduction="none"
        )
        (losses @ torch.tensor(batch.weights) / batch.global_samples).backward()
        plain.step()

        assert norm > 0
    for name, array in learner.parameters_matching("*").items():
        np.testing.assert_allclose(array, module.state_dict()[name].numpy(), atol=1e-6)


def test_an_optimizer_that_adds_a_decay_of_its_own():
    """A decay of 0 is given to an optimizer that takes any argument, whose default is another one."""
    optimizer = Optimizer(name="own_modules:AnyDecay", learning_rate=0.1)
    learner = made(Mlp(outputs=3), optimizer=optimizer)
    before = learner.parameters_matching("*")
    learner.gradients()
    learner.apply(0.1)

    assert all(np.array_equal(array, before[name]) for name, array in learner.parameters_matching("*").items())


def test_numbers_that_a_network_draws_when_it_is_built():
    """The seed decides them as well, whichever library draws them: ranks would have different networks."""
    inputs = np.ones((2, 1, 6, 6), np.float32)
    first, second = (made(UserModel(name="own_modules:Drawn")).outputs({"input": inputs})["main"] for _ in range(2))

    assert np.array_equal(first, second)  # also where the first one imports the module, which draws as well


def test_parameters_that_a_batch_does_not_reach():
    """They get weight decay and a gradient of 0, and the comparison with PyTorch takes that for granted."""
    optimizer = Optimizer(name="sgd", learning_rate=0.1, weight_decay=0.5)
    learner = made(UserModel(name="own_modules:Experts"), optimizer)
    before = learner.parameters_matching("high.*")
    batch = replica_suite.batches()[0]
    found = learner.compare_step(batch, 0.1)
    learner.forward_backward(batch, [1.0], 1 / batch.global_samples)
    learner.apply(0.1)

    assert found.update == ""
    for name, array in learner.parameters_matching("high.*").items():
        np.testing.assert_allclose(array, before[name] * (1 - 0.1 * 0.5), rtol=1e-6)


def test_one_frozen_statistic_freezes_the_normalisation():
    """A frozen running variance is used in training, and neither of both statistics changes."""
    settings = LearnerSettings(SGD, freeze=("1.running_var",))
    objectives, model = replica_suite.CLASSES, Leaf(UserModel(name="own_modules:normalised"))
    learner = open_framework("torch").learner(model, {"input": (1, 6, 6)}, objectives, settings)
    before = learner.parameters_matching("1.running_*")
    for batch in replica_suite.batches():
        learner.forward_backward(batch, [1.0], 1.0)

    after = learner.parameters_matching("1.running_*")

    assert all(np.array_equal(after[name], before[name]) for name in before)


def test_a_group_with_an_optimizer_that_is_not_there():
    """It is reported by its place in the job file, with the name that was meant."""
    group = {"*.bias": {"name": "adma"}}
    task = {
        "kind": "train",
        "framework": "torch",
        "input": "d/x",
        "target": "d/y",
        "loss": "l2",
        "epochs": 1,
        "model": {"name": "mlp", "outputs": 1},
        "optimizer": {"name": "sgd", "learning_rate": 0.1, "groups": group},
    }
    with pytest.raises(InputError) as refused:
        parse_job({"hpcmtl": 1, "job": "j", "data": {"d": "d.h5"}, "tasks": {"t": task}})
    (problem,) = refused.value.problems

    assert problem.where.endswith("tasks.t.optimizer.groups.*.bias.name")
    assert "no optimizer 'adma'; did you mean" in problem.message


def test_hooks_on_parameters_are_part_of_plain_pytorch():
    """A network that changes its gradients by hooks is compared with itself, and its hooks work in training."""
    learner = made(UserModel(name="own_modules:Hooked"))
    batch = replica_suite.batches()[0]
    found = learner.compare_step(batch, 0.1)
    learner.forward_backward(batch, [1.0], 1.0)
    halved = learner.gradients()["first.weight"].copy()
    learner.module.scale = 1.0
    learner.forward_backward(batch, [1.0], 1.0)

    assert (found.update, found.attributes) == ("", "")
    np.testing.assert_allclose(halved * 2, learner.gradients()["first.weight"], rtol=1e-5)
    assert np.abs(learner.gradients()["output.weight"]).max() <= np.float32(1e-3)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("model", ["normalised", "dense_normalised", "TwiceNormalised"])
def test_group_statistics_are_compared_in_every_precision(model, precision):
    """The rounding of a short type is no difference of a step."""
    settings = LearnerSettings(SGD, sync_batchnorm=True, precision=precision)
    for seed in range(6):
        network = Leaf(UserModel(name=f"own_modules:{model}"))
        learner = open_framework("torch").learner(
            network, {"input": (1, 6, 6)}, replica_suite.CLASSES, replace(settings, seed=seed)
        )
        assert learner.compare_step(replica_suite.batches()[0], 0.1).update == ""


def test_passes_that_change_a_parameter():
    """Trials leave it as it was made; it trains on one rank, and several ranks are refused, since they would part."""
    learner = made(UserModel(name="own_modules:Bounded"))
    before = learner.parameters_matching("*")
    alone, several = (learner.compare_step(replace(replica_suite.batches()[0], ranks=n), 0.1) for n in (1, 2))

    assert alone.update == ""
    assert "a pass changes table.weight itself, as `nn.Embedding(max_norm=...)` does" in several.update
    assert np.linalg.norm(before["table.weight"][3]) > 1  # the row of samples of ones
    for name, array in learner.parameters_matching("*").items():
        np.testing.assert_array_equal(array, before[name])


def test_buffers_that_do_not_depend_on_the_batch_are_no_batch_statistics():
    """A spectral norm changes its buffers in each pass, the same way on all ranks."""
    assert not made(UserModel(name="own_modules:spectral")).traits.batch_statistics
    assert made(UserModel(name="own_modules:normalised")).traits.batch_statistics


@pytest.mark.parametrize(
    ("loss", "draws"),
    [("torch.nn:CrossEntropyLoss", False), ("own_modules:entropy", False), ("own_modules:Margin", True)],
)
def test_losses_of_pytorch_draw_no_random_numbers(loss, draws):
    """An object of PyTorch's in a user's module is PyTorch's; what a user wrote may draw, and is seen not to."""
    learner = made(Mlp(outputs=3), loss=loss)

    assert learner.traits.may_draw is draws
    assert not learner.compare_step(replica_suite.batches()[0], 0.1).draws

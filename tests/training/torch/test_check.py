"""`validate` tries all that a task asks of PyTorch, and says what cannot be used under the key that it belongs to."""

import sys
from pathlib import Path

import pytest

from hpcmtl.errors import InputError, TaskFailedError
from hpcmtl.jobfile.arrays import ArraySpec
from hpcmtl.jobfile.kinds import FrameworkNeeds
from hpcmtl.jobfile.tasks import Optimizer, ParameterGroup
from hpcmtl.networks.description import Leaf
from hpcmtl.networks.models import Mlp, UserModel
from hpcmtl.networks.objective import Objective
from hpcmtl.training.frameworks import open_framework

pytest.importorskip("torch")

SGD = Optimizer(name="sgd", learning_rate=0.1)
LABELS = (ArraySpec(samples=10, shape=(), kind="i"),)


@pytest.fixture(autouse=True)
def _users_code(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "contracts"))
    monkeypatch.delitem(sys.modules, "own_modules", raising=False)


def needs(model, **others):
    """What a task with this network asks."""
    model = UserModel(name=f"own_modules:{model}") if isinstance(model, str) else model
    objectives = (Objective("main", "", others.pop("loss", "softmax_ce"), 1.0, ()),)
    asked = {"optimizer": SGD, "targets": LABELS, "sample": (1, 6, 6), **others}
    return FrameworkNeeds(network=Leaf(model), objectives=objectives, **asked)


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
        (needs("normalised", sample=(3, 6, 6)), "model", "cannot run on samples of shape (3, 6, 6)"),
        (needs("normalised", part="9"), "part 9", "has no module '9'"),
        (needs("normalised", freeze=("trunk.*",)), "freeze trunk.*", "matches no parameter"),
        (needs("normalised", freeze=("*",)), "freeze", "leaves no parameter to train"),
        (needs("Tied", sync_batchnorm=True), "sync_batchnorm", "no batch normalisation inside it"),
        (needs("normalised", sync_batchnorm=True, accumulate=2), "sync_batchnorm", "exclude each other"),
        (
            needs(Mlp(outputs=3), optimizer=SGD.model_copy(update={"groups": {"head.*": ParameterGroup()}})),
            "optimizer",
            "the pattern head.* matches no trained parameter",
        ),
        (needs("normalised", loss="own_modules:reduced"), "loss own_modules:reduced", "gives values of shape ()"),
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
    learner = framework.learner(model, (1, 6, 6), objectives, LearnerSettings(SGD))

    with pytest.raises(TaskFailedError, match="sometimes.bias, sometimes.weight take part in this batch"):
        learner.forward_backward(replica_suite.batches()[0], [1.0], 1.0)


def test_what_the_first_step_shows():
    """Rows that look at each other, and random numbers, are found before training."""
    from dataclasses import replace

    import replica_suite

    from hpcmtl.training.learner_settings import LearnerSettings

    framework, batch = open_framework("torch"), replace(replica_suite.batches()[0], ranks=2)
    found = {}
    for name in ("Paired", "Noisy", "Tied"):
        model = Leaf(UserModel(name=f"own_modules:{name}"))
        learner = framework.learner(model, (1, 6, 6), replica_suite.CLASSES, LearnerSettings(SGD))
        found[name] = (learner.compare_step(batch, 0.1).coupled, learner.traits.random_network)

    assert found == {"Paired": (True, False), "Noisy": (False, True), "Tied": (False, False)}

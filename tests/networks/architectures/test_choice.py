"""Architectures of joint networks: sizes counted by hand, shapes of codes, and trunks that do not fit."""

from __future__ import annotations

import json

import pytest
from pydantic import TypeAdapter

from hpcmtl.networks.architectures.choice import ARCHITECTURES, ArchitectureChoice, HardSharing
from hpcmtl.networks.architectures.stages import staged
from hpcmtl.networks.description import Branches, Leaf, Part, Shared, objective_shapes, parts_of, size_of
from hpcmtl.networks.fusion import Fusion
from hpcmtl.networks.json_form import network_from_json, network_to_json, user_models
from hpcmtl.networks.models import ConvAutoencoder, ConvNet, EmbeddingRnn, Mlp, UserModel
from hpcmtl.networks.shapes import NetworkSize

HEADS = (("a", Leaf(Mlp(outputs=3))), ("b", Leaf(Mlp(outputs=1))))
TRUNK = Leaf(Mlp(widths=(5,), outputs=2))  # of 4 inputs: 37 parameters, 30 multiplications
CHOICE = TypeAdapter(ArchitectureChoice)
OWN = UserModel(name="nets:small")
LEVEL = {"name": "mlp", "outputs": 3}  # of 2 inputs: 9 parameters, 6 multiplications


def branches(architecture, trunk=TRUNK):
    """The trunk of two heads by an architecture, as the job file has it."""
    return Branches(trunk, ("a", "b"), CHOICE.validate_python(architecture))


@pytest.mark.parametrize(
    ("architecture", "size", "code"),
    [
        # Three experts, two gates of 4 x 3, two sums of 3 codes with 2 numbers.
        ({"name": "mmoe", "experts": 3}, (3 * 37 + 24, 3 * 30 + 24 + 12), 2),
        # One shared expert and two of each head, two gates of 4 x 3.
        ({"name": "cgc", "shared": 1, "own": 2}, (5 * 37 + 24, 5 * 30 + 24 + 12), 2),
        # The first level has a third gate of 4 x 5; the second one five experts and two gates of 2 x 3.
        (
            {"name": "ple", "shared": 1, "own": 2, "levels": [LEVEL]},
            (5 * 37 + 24 + 20 + 5 * 9 + 12, 5 * 30 + 24 + 12 + 20 + 10 + 5 * 6 + 12 + 18),
            3,
        ),
        # Two towers; two layers with 2 x 2 weights, for 5 and for 2 numbers of both.
        ({"name": "cross_stitch"}, (2 * 37 + 8, 2 * 30 + 4 * 7), 2),
        ({"name": "cross_stitch", "per": "channel"}, (2 * 37 + 4 * 7, 2 * 30 + 4 * 7), 2),
        # A head has two masks, of 5 and 2 numbers, of 2 and 3 maps with two biases each, and a layer from 5 to 2.
        ({"name": "mtan"}, (37 + 2 * (60 + 16 + 12), 30 + 2 * (55 + 14 + 10)), 2),
        # Two of four experts: two codes of two digits, and two weights.
        ({"name": "dselect_k", "experts": 4, "chosen": 2}, (4 * 37 + 2 * 6, 4 * 30 + 2 * (16 + 8)), 2),
        (
            {"name": "dselect_k", "experts": 4, "chosen": 2, "gates": "inputs"},
            (4 * 37 + 2 * 6 * 5, 4 * 30 + 2 * (30 + 16 + 8)),
            2,
        ),
    ],
)
def test_counted_by_hand(architecture, size, code) -> None:
    """Parameters and multiplications are those of all networks, gates and masks; heads take codes of one shape."""
    made = branches(architecture)
    heads = [size_of(head, {"input": (code,)}) for _, head in HEADS]

    assert size_of(made, {"input": (4,)}) == NetworkSize(*size)
    assert size_of(Shared(made, HEADS), {"input": (4,)}) == NetworkSize(*size).plus(*heads)
    assert objective_shapes(Shared(made, HEADS), {"input": (4,)}) == {"a": (3,), "b": (1,)}
    assert parts_of(Shared(made, HEADS)) == ("trunk.codes.a", "trunk.codes.b")
    assert network_from_json(json.loads(json.dumps(network_to_json(Shared(made, HEADS))))) == Shared(made, HEADS)


def test_experts_of_users() -> None:
    """Their shapes are not known, and their names are found wherever they are."""
    made = branches({"name": "ple", "shared": 1, "own": 1, "levels": [{"name": "nets:level"}]}, Leaf(OWN))

    assert objective_shapes(Shared(made, HEADS), {"input": (4,)}) == {"a": None, "b": None}
    assert user_models(Shared(made, HEADS)) == ("nets:small", "nets:level")


def test_every_architecture_has_its_name() -> None:
    """The table of names is that of the choice, and a name alone is one without options."""
    made = [CHOICE.validate_python({"name": name, **_needed(name)}) for name in ARCHITECTURES]

    assert [each.name for each in made] == list(ARCHITECTURES)
    assert CHOICE.validate_python("hard_sharing") == HardSharing()


def _needed(name):
    experts = {"experts": 2} if name in {"mmoe", "dselect_k"} else {}
    chosen = {"chosen": 1} if name == "dselect_k" else {}
    both = {"shared": 1, "own": 1} if name in {"cgc", "ple"} else {}
    return {**experts, **chosen, **both, **({"levels": [LEVEL]} if name == "ple" else {})}


RNN = Leaf(EmbeddingRnn(vocabulary=7, embedding=3, hidden=5, outputs=2))
FUSION = Leaf(Fusion(encoders={"a": Mlp(outputs=2), "b": EmbeddingRnn(**RNN.model.model_dump())}, outputs=2))


@pytest.mark.parametrize(
    ("name", "trunk", "text"),
    [
        ("mmoe", RNN, "`input` takes integers"),
        ("cgc", FUSION, "`b` takes integers"),
        ("cross_stitch", RNN, "needs layers one by one"),
        ("mtan", Leaf(OWN), "needs layers one by one"),
        ("mtan", Leaf(ConvAutoencoder(channels=(2,), code=3)), "needs layers one by one"),
        ("cross_stitch", Leaf(Mlp(outputs=2, per_token=True)), "leave `per_token` out"),
        ("mtan", Part(Leaf(Mlp(outputs=2)), "body"), "give the `mlp` some `widths`"),
    ],
)
def test_trunks_that_do_not_fit(name, trunk, text) -> None:
    """Each is refused with a reason, and what to use instead."""
    assert text in CHOICE.validate_python({"name": name, **_needed(name)}).problem(trunk)


def test_static_gates_take_any_trunk() -> None:
    """DSelect-k whose choice is a parameter reads no inputs, so that these may be tokens."""
    assert CHOICE.validate_python({"name": "dselect_k", "experts": 2, "chosen": 1}).problem(RNN) is None


def test_a_level_behind_the_first_takes_numbers() -> None:
    """Its input is the sum of codes, in which no token is."""
    level = RNN.model.model_dump()

    assert "embedding_rnn of `levels` (entry 1)" in CHOICE.validate_python(
        {"name": "ple", "shared": 1, "own": 1, "levels": [level]}
    ).problem(TRUNK)


@pytest.mark.parametrize(
    ("network", "sample", "layers"),
    [
        (Leaf(Mlp(widths=(5, 6), outputs=3, dropout=0.5)), (4,), [(0, 2, 3), (3, 4, 5), (5, 6, 6)]),
        (Part(Leaf(Mlp(widths=(5,), outputs=3, dropout=0.5)), "body"), (4,), [(0, 2, 3)]),
        (Leaf(ConvNet(channels=(2,), widths=(5,), outputs=3)), (1, 5, 4), [(0, 1, 2), (2, 4, 4), (4, 5, 5)]),
        (Part(Leaf(ConvNet(channels=(2, 3), outputs=3)), "body"), (1, 5, 4), [(0, 1, 2), (2, 3, 4)]),
        (Part(Leaf(ConvAutoencoder(channels=(2,), code=3)), "encoder"), (1, 5, 4), [(0, 1, 2), (2, 4, 4)]),
    ],
)
def test_stages(network, sample, layers) -> None:
    """A stage is a layer with the flattening before it, and pooling or dropout behind it."""
    found = staged(network, {"input": sample})
    only_flattens = isinstance(network, Part) and isinstance(network.whole.model, ConvNet)

    assert [(each.start, each.middle, each.stop) for each in found.stages] == layers
    assert found.layers == layers[-1][2] + only_flattens

"""Heads that take outputs of others: their order, shapes and sizes, counted by hand."""

from __future__ import annotations

import json

import pytest

from hpcmtl.networks.coupled_heads import HeadInputs, order_of_heads
from hpcmtl.networks.description import Leaf, Shared, objective_shapes, size_of, takes_any_length
from hpcmtl.networks.fusion import Fusion
from hpcmtl.networks.json_form import network_from_json, network_to_json
from hpcmtl.networks.models import EmbeddingRnn, Mlp, UserModel
from hpcmtl.networks.shapes import ShapeError

TRUNK = Leaf(Mlp(outputs=6))
BOTH = HeadInputs(("trunk", "digit"))
FUSED = Fusion(encoders={"trunk": Mlp(outputs=3), "digit": Mlp(outputs=2)}, outputs=4)


def shared(digit: object, parity: object, inputs: HeadInputs = BOTH, trunk: Leaf = TRUNK) -> Shared:
    """A trunk with a head that takes the output of the other one, which comes after it."""
    return Shared(trunk, (("parity", Leaf(parity)), ("digit", Leaf(digit))), (("parity", inputs),))


def test_a_head_comes_after_those_that_it_takes() -> None:
    """The order of the job stays otherwise; names that are no heads do not matter."""
    assert order_of_heads(["a", "b", "c"], {}) == ("a", "b", "c")
    assert order_of_heads(["a", "b", "c"], {"a": ["trunk", "c"]}) == ("c", "a", "b")
    assert order_of_heads(["a", "b", "c"], {"a": ["b"], "b": ["c", "trunk"]}) == ("c", "b", "a")


@pytest.mark.parametrize(
    ("inputs", "cycle"),
    [({"a": ["a"]}, "a -> a"), ({"c": ["a"], "a": ["trunk", "b"], "b": ["c"]}, "a -> b -> c -> a")],
)
def test_a_cycle_is_named(inputs: dict[str, list[str]], cycle: str) -> None:
    """The message is the way round."""
    with pytest.raises(ValueError, match=f"^{cycle}$"):
        order_of_heads(["a", "b", "c"], inputs)


def test_joined_inputs_are_counted() -> None:
    """The head has weights for 6 values of the trunk and 10 of the other head; sequences are joined by token."""
    network = shared(Mlp(outputs=10), Mlp(outputs=2))
    alone = shared(Mlp(outputs=10), Mlp(outputs=2), HeadInputs(("digit",)))
    tokens = Leaf(EmbeddingRnn(vocabulary=5, embedding=2, hidden=3, outputs=6, per_token=True))
    by_token = shared(Mlp(outputs=10, per_token=True), Mlp(outputs=2, per_token=True), trunk=tokens)

    assert objective_shapes(network, {"input": (4,)}) == {"parity": (2,), "digit": (10,)}
    assert size_of(network, {"input": (4,)}).parameters == (4 * 6 + 6) + (6 * 10 + 10) + (16 * 2 + 2)
    assert size_of(alone, {"input": (4,)}).parameters == (4 * 6 + 6) + (6 * 10 + 10) + (10 * 2 + 2)
    assert objective_shapes(by_token, {"input": (7,)}) == {"parity": (7, 2), "digit": (7, 10)}
    assert takes_any_length(by_token)


def test_inputs_by_name_reach_their_encoders() -> None:
    """A network with an input for each has no joined one."""
    network = shared(Mlp(outputs=10), FUSED)

    assert objective_shapes(network, {"input": (4,)}) == {"parity": (4,), "digit": (10,)}
    assert size_of(network, {"input": (4,)}).parameters == 30 + 70 + (6 * 3 + 3) + (10 * 2 + 2) + (5 * 4 + 4)


@pytest.mark.parametrize(
    ("network", "text"),
    [
        (
            shared(Mlp(outputs=10), FUSED, HeadInputs(("digit",))),
            r"head parity: its network takes digit and trunk, and is given digit",
        ),
        (
            shared(Mlp(outputs=10), Mlp(outputs=2), trunk=Leaf(Mlp(outputs=6, per_token=True))),
            r"head parity: inputs of shapes \(3, 6\) \(trunk\) and \(10,\) \(digit\) cannot be joined",
        ),
        (shared(Mlp(outputs=10), EmbeddingRnn(vocabulary=3, embedding=1, hidden=1, outputs=1)), "takes integers"),
        (shared(Mlp(outputs=10), Mlp(outputs=2, per_token=True)), "head parity: mlp with `per_token` takes"),
    ],
)
def test_what_a_head_cannot_take(network: Shared, text: str) -> None:
    """The message has the head, and the shapes or names."""
    with pytest.raises(ShapeError, match=text):
        objective_shapes(network, {"input": (3, 4)})


def test_heads_behind_a_users_network_are_not_guessed() -> None:
    """Only building shows what it gives, and so what comes behind it."""
    own = shared(UserModel(name="own_blocks:Lookup"), Mlp(outputs=2))

    assert objective_shapes(own, {"input": (4,)}) == {"parity": None, "digit": None}
    assert size_of(own, {"input": (4,)}) == size_of(TRUNK, {"input": (4,)})


def test_descriptions_go_round() -> None:
    """Inputs and their gradient survive as JSON, and artifacts without them are read as before."""
    for network in (shared(Mlp(outputs=10), FUSED), shared(Mlp(outputs=1), FUSED, HeadInputs(("digit",), "stop"))):
        assert network_from_json(json.loads(json.dumps(network_to_json(network)))) == network
    assert "inputs" not in network_to_json(Shared(TRUNK, (("a", TRUNK),)))

"""The model of several inputs says what it takes and makes, and how large it is."""

import pytest

from hpcmtl.networks.description import Leaf, Part, Shared, input_names, size_of, values_by_input
from hpcmtl.networks.fusion import Fusion
from hpcmtl.networks.input_values import INPUT, InputValues, other_inputs
from hpcmtl.networks.models import EmbeddingRnn, Mlp, UserModel
from hpcmtl.networks.shapes import NetworkSize, ShapeError

WORDS = EmbeddingRnn(vocabulary=7, embedding=3, hidden=4, outputs=2)
MODEL = Fusion(encoders={"table": Mlp(widths=(3,), outputs=5), "word": WORDS}, widths=(6,), outputs=4)
SAMPLES = {"word": (8,), "table": (2,)}


def test_shapes_and_size():
    """The joined vector has all outputs of the encoders, whatever the order in which the samples are named."""
    encoders = [Leaf(Mlp(widths=(3,), outputs=5)), Leaf(WORDS)]
    sizes = [size_of(each, {INPUT: SAMPLES[name]}) for each, name in zip(encoders, MODEL.encoders, strict=True)]

    assert MODEL.output_shape(SAMPLES) == (4,)
    assert MODEL.output_shape(SAMPLES, "body") == (6,)
    assert MODEL.size(SAMPLES, "body") == NetworkSize(7 * 6 + 6, 7 * 6).plus(*sizes)
    assert MODEL.size(SAMPLES) == MODEL.size(SAMPLES, "body").plus(NetworkSize(6 * 4 + 4, 6 * 4))
    with pytest.raises(ShapeError, match=r"takes rows of tokens"):
        MODEL.output_shape({**SAMPLES, "word": (8, 8)})


def test_each_input_has_values_of_its_own():
    """Tokens are integers below the vocabulary, other inputs are numbers; parts and trunks take what is below them."""
    network = Shared(Part(Leaf(MODEL), "body"), (("a", Leaf(Mlp(outputs=2))),))
    own = UserModel(name="m:f", input_type={"ids": "integer"})

    assert input_names(network) == ("table", "word")
    assert values_by_input(network, SAMPLES) == {"word": InputValues(integers=True, below=7), "table": InputValues()}
    assert input_names(Leaf(Mlp(outputs=2))) == (INPUT,)
    assert input_names(Leaf(own)) is None
    assert values_by_input(Leaf(own), ("ids", "x")) == {"ids": InputValues(integers=True), "x": InputValues()}


@pytest.mark.parametrize(
    ("taken", "given", "said"),
    [
        (("a", "b"), ("b", "a"), None),
        (("input",), ("a", "b"), "takes one input, and is given a and b: write `input: SOURCE/ARRAY`"),
        (("a", "b"), ("input",), "takes inputs by name: write `input: {a: SOURCE/ARRAY, b: SOURCE/ARRAY}`"),
        (("image", "table"), ("image", "tabel"), "takes no input 'tabel'; did you mean 'table'?"),
        (("image", "table"), ("image",), "is given no 'table': add `table: SOURCE/ARRAY`"),
    ],
)
def test_other_inputs(taken, given, said):
    """A message names the input that is wrong, and what to write."""
    found = other_inputs(taken, given)

    assert found is None if said is None else said in str(found)

"""Messages of the models of job files on samples that they cannot take."""

from __future__ import annotations

import pytest

from hpcmtl.networks.models import ConvAutoencoder, ConvNet, EmbeddingRnn
from hpcmtl.networks.shapes import ShapeError

MODELS = [ConvNet(channels=(4,), outputs=2), ConvAutoencoder(channels=(4,), code=3)]

SIGNALS = [(12, 1000, 1), (8, 64, 3), (64, 1000, 4)]  # channels, time, and one or a few columns


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("sample", [(8, 8, 1), (28, 28, 1), (32, 32, 3), (16, 16, 4)])
def test_channels_that_come_last_are_refused(model, sample):
    """Square images were taken as images of 1 to 4 pixels' width with many channels."""
    with pytest.raises(ShapeError, match=r"takes images of shape \(channels, height, width\).*moveaxis"):
        model.output_shape({"input": sample})


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("sample", [(1, 8, 8), (3, 32, 32), (8, 8, 8), (64, 1, 100), (16, 2, 3), (16, 12, 4), *SIGNALS])
def test_images_and_maps_of_features_are_taken(model, sample):
    """Few channels first, cubes, signals in rows and columns, and the maps that convolutions make."""
    assert model.output_shape({"input": sample})


@pytest.mark.parametrize("sample", [(), (0,), (3, 4)])
def test_a_recurrent_model_takes_rows_of_tokens(sample):
    """Samples of another shape are refused, with the shape that it takes."""
    with pytest.raises(ShapeError, match=r"takes rows of tokens of shape \(length,\)"):
        EmbeddingRnn(vocabulary=5, embedding=2, hidden=3, outputs=2).output_shape({"input": sample})

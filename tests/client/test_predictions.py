"""The rows of an artifact are dealt to the splits of the data."""

import numpy as np

from hpcmtl.client.predictions import rows_by_split


def test_rows_go_to_their_splits():
    """Each split has its rows in the order of the file, and a split without samples is left out."""
    arrays = {"main": np.arange(10).reshape(5, 2), "split": np.array([0, 2, 0, 2, 2], np.uint8)}
    found = rows_by_split(arrays)

    assert list(found) == ["train", "test"]
    assert found["train"]["main"].tolist() == [[0, 1], [4, 5]]
    assert found["test"]["main"].tolist() == [[2, 3], [6, 7], [8, 9]]

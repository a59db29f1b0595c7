"""Weights and updates are those of TorchJD 0.18, from the same inputs that `benchmarks/multitask_oracle.py` stored."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from weighting_steps import made

from hpcmtl.training.multitask.weighting import ObjectiveMeasurements

VECTORS = json.loads((Path(__file__).parent / "torchjd_vectors.json").read_text(encoding="utf-8"))
MATRICES = [np.array(rows) for rows in VECTORS["matrices"]]
CASES = VECTORS["cases"]
BAR = 1e-6
ARRAYS = ("losses", "current_losses", "losses_after")


def measured(step, transform):
    """The measurements of one step of a case."""
    found = {name: np.array(step[name]) for name in ARRAYS if name in step}
    if "epoch" in step:
        found["epoch"] = step["epoch"]
    if "other_rows" in step:
        found["cross_gramian"] = MATRICES[step["rows"]] @ MATRICES[step["other_rows"]].T
    elif "rows" in step:
        rows = MATRICES[step["rows"]]
        rows = rows if transform is None else transform.transform(rows, None)
        found["gramian"] = rows @ rows.T
    return ObjectiveMeasurements(**found)


def results(case):
    """Yields what each step of a case gives here, what TorchJD gave, and the rows of gradients, if there are any."""
    expected = case.get("weights") or case["updates"]
    count = len(expected[0]) if "weights" in case else len(MATRICES[case["steps"][0]["rows"]])
    ours = made(case["method"], count, VECTORS["seed"], **case["options"])
    for step, theirs in zip(case["steps"], expected, strict=True):
        rows = MATRICES[step["rows"]] if "rows" in step else None
        if ours.combiner is not None:
            found = ours.combiner.combine(rows, 0)
        else:
            found = np.array(ours.weighting.weights(measured(step, ours.transform)))
            found = found @ rows if "updates" in case else found
        yield found, np.array(theirs), rows


def differs(found, expected):
    """Tells whether results differ by more than the bar, relative to the largest number above 1."""
    return np.abs(found - expected).max() > BAR * max(1.0, np.abs(expected).max())


@pytest.mark.parametrize("method", sorted({case["method"] for case in CASES} - {"cagrad", "imtl_g"}))
def test_results_are_those_of_torchjd(method):
    """Each step of each case has the weights, or the update, of TorchJD within 1e-6."""
    wrong = [case for case in CASES if case["method"] == method and any(differs(*each[:2]) for each in results(case))]

    assert wrong == []


def test_imtl_g_is_that_of_torchjd_unless_all_losses_would_rise():
    """Weights are those of TorchJD within 1e-6; where its update raises all losses, they are their negatives."""
    for case in (case for case in CASES if case["method"] == "imtl_g"):
        for found, expected, rows in results(case):
            raises = (rows @ (expected @ rows)).max() < 0

            assert not differs(found, -expected if raises else expected)


def test_cagrad_is_that_of_torchjd_or_better():
    """Weights are those of TorchJD within 1e-6, but in two cases, where the worst objective gains more by ours."""
    others = 0
    for case in (case for case in CASES if case["method"] == "cagrad"):
        for found, expected, rows in results(case):
            ours, theirs, mean = found @ rows, expected @ rows, rows.mean(axis=0)
            radii = [np.linalg.norm(update - mean) / np.linalg.norm(mean) for update in (ours, theirs)]

            assert radii == pytest.approx([case["options"]["c"]] * 2, rel=1e-8)
            if differs(found, expected):
                others += 1  # of c = 0.9; the solver of TorchJD stops there, see `benchmarks/multitask_oracle.py`
                assert (rows @ ours).min() > (rows @ theirs).min()

    assert others <= 2


def test_the_file_says_how_it_was_made():
    """The file names the command and the versions, and has all 23 methods that both packages have."""
    assert VECTORS["versions"]["torchjd"] == "0.18.0"
    assert (Path(__file__).parents[3] / VECTORS["command"].split()[1]).exists()
    assert len({case["method"] for case in CASES}) == 23

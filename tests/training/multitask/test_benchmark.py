"""The benchmark of multi-task learning has the published problem, and runs."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from runs import CHECKOUT, run_python

from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.networks.models import Mlp

torch = pytest.importorskip("torch")
BENCHMARKS = CHECKOUT / "benchmarks"


def published(points, scale):
    """The two losses of the toy problem, as the paper's program computes them, with PyTorch."""
    x, y = points.T
    first = torch.clamp((0.5 * (-x - 7) - torch.tanh(-y)).abs(), 5e-6).log() + 6
    second = torch.clamp((0.5 * (-x + 3) + torch.tanh(-y) + 2).abs(), 5e-6).log() + 6
    upper, lower = torch.clamp(torch.tanh(y / 2), 0), torch.clamp(torch.tanh(-y / 2), 0)
    squares = [((-x + side) ** 2 + 0.1 * (-y - 8) ** 2) / 10 - 20 for side in (7, -7)]
    return scale * (first * upper + squares[0] * lower), second * upper + squares[1] * lower


@pytest.mark.parametrize("scale", [0.1, 1.0])
def test_the_toy_problem_is_the_published_one(scale, monkeypatch):
    """Losses and gradients are those of PyTorch, at the starts and at random points."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from multitasking import toy

    points = np.concatenate([toy.STARTS, np.random.default_rng(0).normal(size=(100, 2)) * 6])
    losses, gradients = toy.losses_and_gradients(points, scale)
    values = torch.tensor(points, requires_grad=True)
    for place, loss in enumerate(published(values, scale)):
        (expected,) = torch.autograd.grad(loss.sum(), values, retain_graph=True)

        np.testing.assert_allclose(losses[:, place], loss.detach().numpy(), rtol=1e-12)
        np.testing.assert_allclose(gradients[:, place], expected.numpy(), rtol=1e-9, atol=1e-12)
    sys.modules.pop("multitasking.toy", None)


@pytest.mark.slow
def test_quick(tmp_path):
    """The sum of the losses reaches the Pareto set from 4 of the 5 starts, and MGDA from all."""
    words = ["--quick", "--only", "toy", "--json", str(tmp_path / "results.json")]
    done = run_python(tmp_path, BENCHMARKS / "multitask.py", *words, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "results.json").read_text())["toy"]

    assert {name: each["0.1"]["hits"] for name, each in found.items()} == {"equal": 4, "mgda": 5}


def test_methods_on_each_rank_alone_are_seen(monkeypatch):
    """The check of exactness tells a group from one rank by rounding alone, and surgery on each rank by far."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from multitasking import exactness

    (one,) = run_ranks(1, exactness.trained, "pcgrad", "torch", 4)
    group = run_ranks(3, exactness.trained, "pcgrad", "torch", 4)[0]
    apart, wrong = exactness.largest(one, group), exactness.surgery_on_each_rank(4)
    for name in ("exactness", "problem"):
        sys.modules.pop(f"multitasking.{name}", None)

    assert apart < exactness.BAR
    assert wrong > 10 * exactness.BAR


def test_bytes_are_those_of_the_formulas(monkeypatch):
    """A rank of four sends (T + 1) d values for whole gradients, 2 d in steps that hold weights or compare features."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from multitasking import cheaper

    monkeypatch.setitem(cheaper.NETWORKS, "mlp", (Mlp(widths=(16,), outputs=8, activation="tanh"), (12,)))
    shared, private, last, count = 12 * 16 + 16 + 16 * 8 + 8, cheaper.COUNT * (8 + 1) * 10, 16 * 8 + 8, cheaper.COUNT
    values = {
        "whole gradients": (count + 1) * shared + 2 * private,
        "every: 10": (count + 1 + 9 * 2) / 10 * shared + 2 * private,
        "gradients_at: features": 2 * (shared + private),
        "gradients_at: last_shared_layer": 2 * (shared + private) + count * last,
        "biased: true": 2 * (shared + private),
        "halves of the batch": (2 * count + 1) * shared + 2 * private,
    }
    found = {way: run_ranks(4, cheaper.bytes_sent, "torch", way)[0] for way in values}
    for name in ("cheaper", "steps", "problem"):
        sys.modules.pop(f"multitasking.{name}", None)

    for way, each in values.items():
        small = 8 * 2 * (2 * count) ** 2 * 3 / 4  # products of the rows
        assert 0 <= found[way] - each * 4 * 3 / 4 <= small, way

"""Contract of rows with several targets, as of samples that are mixed: the reference is numpy, see `learner_suite`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from learner_suite import (
    NUMBERS,
    close,
    l2_reference,
    learner_of,
    objective_gradients,
    parameters,
    softmax_reference,
    with_numbers,
)
from replica_suite import CLASSES, batches

if TYPE_CHECKING:
    from hpcmtl.training.framework import Framework
    from hpcmtl.training.step_input import StepInput


def interleaved(one: StepInput, other: StepInput) -> StepInput:
    """The rows of a batch, each with its targets and weights in both."""

    def both(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.stack([a, b], axis=1).reshape(-1, *a.shape[1:])

    targets = tuple(map(both, one.targets, other.targets))
    return replace(one, targets=targets, weights=both(one.weights, other.weights), targets_per_row=2)


def check_two_targets_a_row(framework: Framework) -> None:
    """Losses and gradients are the sums of those with each target, also in micro-batches, of one row, of a filler."""
    for objectives, reference, change in (
        (CLASSES, softmax_reference, lambda batch: batch),
        (NUMBERS, l2_reference, with_numbers),
    ):
        whole = change(batches()[0])
        first = whole.with_inputs(lambda each: each[:1])
        row = replace(whole, inputs=first, targets=(whole.targets[0][:1],), weights=whole.weights[:1])
        for one in (whole, row, replace(row, weights=0 * row.weights, filler=True)):
            other = replace(one, targets=(whole.targets[0][::-1][: len(one.weights)],), weights=0.25 * one.weights)
            for accumulate in (1, 2):
                learner = learner_of(framework, objectives=objectives, accumulate=accumulate)
                known = [reference(parameters(learner), each, 0.7) for each in (one, other)]
                expected = {name: known[0][1][name] + known[1][1][name] for name in known[0][1]}
                share = sum(losses @ each.weights for (losses, _), each in zip(known, (one, other), strict=True))
                learner.forward_backward(interleaved(one, other), [1.0], 0.7)
                found = {name: array.copy() for name, array in learner.gradients().items()}
                alone = objective_gradients(learner, interleaved(one, other), 0.7)[0]

                assert close(found, expected)
                assert close(alone, expected)
                np.testing.assert_allclose(learner.collect_losses(), [[share / one.global_samples]] * 2, rtol=1e-5)

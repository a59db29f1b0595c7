from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.jobfile.schema import Layers
from hpcmtl.taskgraph.layering import layer_bounds, layer_count

MIB = 2**20


@pytest.mark.parametrize(
    ("input_bytes", "expected"), [(0, 1), (1, 1), (4 * MIB, 1), (4 * MIB + 1, 2), (15 * MIB, 4), (999 * MIB, 8)]
)
def test_variable_rule_counts_quanta(input_bytes: int, expected: int) -> None:
    """A task has one layer for each begun quantum of its input, at least one and at most max_layers."""
    rule = Layers(quantum="4MiB", max_layers=8)

    assert layer_count(rule, input_bytes, steps=1000) == expected


def test_fixed_rule_ignores_the_input() -> None:
    """Under the fixed policy all tasks have `count` layers, however big."""
    rule = Layers(policy="fixed", count=3)

    assert [layer_count(rule, size, steps=1000) for size in (0, MIB, 999 * MIB)] == [3, 3, 3]


def test_a_task_may_overrule_the_rule() -> None:
    """`layers` of a task wins over the rule, beyond max_layers too."""
    assert layer_count(Layers(max_layers=2), 999 * MIB, steps=1000, own=12) == 12


@pytest.mark.parametrize("rule", [Layers(quantum=1), Layers(policy="fixed", count=8)])
@pytest.mark.parametrize(("steps", "own", "expected"), [(5, None, 5), (5, 7, 5), (0, None, 1)])
def test_never_more_layers_than_steps(rule: Layers, steps: int, own: int | None, expected: int) -> None:
    """A layer has at least one step, and there is always one layer."""
    assert layer_count(rule, 999 * MIB, steps, own) == expected


@given(st.integers(0, 10**9), st.integers(1, 500))
def test_bounds_cut_into_equal_contiguous_pieces(total: int, layers: int) -> None:
    """The pieces cover [0, total) without gap or overlap, and their sizes differ by at most one."""
    bounds = layer_bounds(total, layers)
    sizes = [end - start for start, end in itertools.pairwise(bounds)]

    assert (bounds[0], bounds[-1], len(sizes)) == (0, total, layers)
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(("total", "layers"), [(10, 0), (10, -1), (-1, 2)])
def test_bounds_refuse_nonsense(total: int, layers: int) -> None:
    """No layers, or less than no steps, is a mistake of the caller and not an empty answer."""
    with pytest.raises(ValueError, match="cannot cut"):
        layer_bounds(total, layers)

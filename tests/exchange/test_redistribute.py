"""Rows reach whoever wants them, each once, between groups of any width that may have ranks in common."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import redistribution_suite
from hypothesis import example, given
from hypothesis import strategies as st

from hpcmtl.communicators.inproc import RankFailedError, run_ranks
from hpcmtl.exchange.redistribute import ArrayRows, Block, Move, dealt, plan_moves, redistribute


@st.composite
def layouts(draw, rows):
    """Blocks that cover all rows once, uneven and empty ones too, on ranks in any order; a rank may have several."""
    cuts = sorted(draw(st.lists(st.integers(0, rows), max_size=6)))
    bounds = [0, *cuts, rows]
    ranks = draw(st.lists(st.integers(0, 5), min_size=len(bounds) - 1, max_size=len(bounds) - 1))
    return [Block(rank, *ends) for rank, ends in zip(ranks, pairwise(bounds), strict=True)]


@st.composite
def problems(draw):
    """Draws owners of rows, some with several owners, and receivers, some of which want rows several times."""
    rows = draw(st.integers(0, 40))
    have = draw(layouts(rows)) + (draw(layouts(rows)) if draw(st.booleans()) else [])
    want = [block for _ in range(draw(st.integers(1, 2))) for block in draw(layouts(rows))]
    want += [Block(rank, 0, rows) for rank in draw(st.sets(st.integers(0, 5)))]
    return rows, have, want


@given(problems())
@example((4, [Block(0, 0, 4), Block(1, 1, 3)], [Block(1, 0, 4)]))
def test_every_wanted_row_moves_once(problem):
    """Each rank gets exactly what it wants, from ranks that have it, and nothing that it has from another."""
    _, have, want = problem
    moves = plan_moves(have, want)
    wanted = Counter((block.rank, row) for block in want for row in range(block.start, block.stop))
    had = {(block.rank, row) for block in have for row in range(block.start, block.stop)}
    moved = Counter((move.dest, row) for move in moves for row in range(move.start, move.stop))

    assert moved == wanted
    for move in moves:
        rows = range(move.start, move.stop)
        assert len(rows) > 0
        assert all((move.source, row) in had for row in rows)
        assert move.source == move.dest or not any((move.dest, row) in had for row in rows)


@given(st.integers(0, 50), st.integers(1, 7), st.integers(1, 7))
def test_few_messages_between_dealt_groups(rows, senders, receivers):
    """Between two groups side by side there are fewer messages than ranks."""
    moves = plan_moves(dealt(range(senders), rows), dealt(range(senders, senders + receivers), rows))

    assert len(moves) <= senders + receivers - 1


@given(problems())
def test_rows_that_nobody_has_are_named(problem):
    """A row beyond the last one cannot be had."""
    rows, have, want = problem

    with pytest.raises(ValueError, match=f"rank 3 wants the rows {rows} to {rows}: no rank has row {rows}"):
        plan_moves(have, [*want, Block(3, 0, rows + 1)])


@pytest.mark.parametrize("ranks", [1, 2, 3, 5])
@pytest.mark.parametrize("check", redistribution_suite.CHECKS, ids=lambda check: check.__name__)
def test_threads(check, ranks):
    """Arrays are redistributed among ranks that are threads."""
    run_ranks(ranks, check)


def test_mpi(mpirun):
    """Arrays are redistributed among the ranks of a real MPI."""
    done = mpirun(3, Path(redistribution_suite.__file__))

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(redistribution_suite.CHECKS)} checks passed on 3 ranks" in done.stdout


def test_rows_that_are_not_here_are_an_error():
    """A rank that is to send what it does not have says which rows."""
    with pytest.raises(
        RankFailedError, match=r"start=2, stop=5, version=0\): these rows are not in one piece of memory"
    ):
        run_ranks(1, lambda comm: redistribute(comm, [Move(0, 0, 2, 5)], [ArrayRows(0, np.zeros(4))], []))

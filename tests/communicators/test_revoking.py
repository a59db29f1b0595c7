"""Communicators that a library keeps to itself are revoked when a rank is lost."""

from __future__ import annotations

from pathlib import Path


def test_a_rank_that_waits_for_a_living_one_hears_of_the_loss(mpirun):
    """A rank that exchanges nothing with the dead one comes out by a revocation; the origin stays as it was."""
    program = Path(__file__).with_name("dead_partner.py")
    done = mpirun(3, program)

    assert "rank 0: revoked, False" in done.stdout, done
    assert "rank 1: failed, False" in done.stdout, done

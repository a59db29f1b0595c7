"""The cost of a task and what it has left follow from its layers and the progress of the running one."""

from __future__ import annotations

import pytest

from hpcmtl.results.history import TaskHistory
from hpcmtl.results.step_progress import StepProgress


def running(fraction: float, step: int = 30, pace: float = 2.0) -> TaskHistory:
    """A task whose first layer runs on ranks 1 to 3."""
    progress = StepProgress("a", 0, 0, 0.5, 100.0, fraction, step, pace)
    return TaskHistory(status="running", layers=1, ranks=(1, 3), since=100.0, progress=progress)


@pytest.mark.parametrize("fraction", [0.25, 0.5, 0.75])
def test_a_running_layer_has_cost_its_steps(fraction: float) -> None:
    """Thirty steps at two a second took three ranks 15 s, and the rest of the layer takes as long a step."""
    task = running(fraction)

    assert task.seconds_left(200.0) == pytest.approx(15.0 * (1 - fraction) / fraction)
    assert task.rank_seconds(200.0) == pytest.approx(3 * 15.0)


def test_without_a_pace_the_clock_counts() -> None:
    """Where no pace is known, the time since the start of the layer counts."""
    assert running(0.5, step=0, pace=0.0).seconds_left(140.0) == pytest.approx(40.0)

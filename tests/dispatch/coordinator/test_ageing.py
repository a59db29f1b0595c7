"""Tasks that wait behind others gain priority classes with time."""

import pytest

from hpcmtl.dispatch.coordinator.ageing import seconds_a_class


@pytest.mark.parametrize(("makespan", "seconds"), [(0.0, 60.0), (599.0, 60.0), (1200.0, 120.0)])
def test_the_wait_for_one_class(makespan, seconds):
    """A class takes a tenth of the planned time, but a minute at least."""
    assert seconds_a_class(makespan) == pytest.approx(seconds)

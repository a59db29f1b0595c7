from __future__ import annotations

import importlib
import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hpcmtl.errors import InputError
from hpcmtl.jobfile.schedules import check_schedule
from hpcmtl.jobfile.tasks import Optimizer
from hpcmtl.training.schedule import (
    Constant,
    Cosine,
    Poly,
    RateSchedule,
    Step,
    learning_rate,
    of_optimizer,
    require_pure,
)


@st.composite
def schedules(draw):
    """Any valid schedule."""
    total = draw(st.integers(1, 500))
    warmup = draw(st.integers(0, total - 1))
    base = draw(st.floats(1e-6, 10))
    decays = [
        st.just(Constant()),
        st.builds(Cosine, st.floats(0, 1)),
        st.builds(Poly, st.floats(0.1, 5)),
    ]
    if total - warmup > 1:
        steps = st.lists(st.integers(warmup + 1, total - 1), min_size=1, max_size=4, unique=True)
        decays.append(st.builds(Step, steps.map(lambda s: tuple(sorted(s))), st.floats(0.01, 1)))
    return RateSchedule(base, total, warmup, draw(st.floats(0, 1)) * base, draw(st.one_of(decays)))


def rates(schedule):
    """The rate of every step, one past the end included."""
    return [learning_rate(schedule, step) for step in range(schedule.total_steps + 1)]


@given(schedules())
def test_the_rate_rises_in_the_warm_up_and_falls_after_it(schedule):
    """Monotone on both sides of the end of the warm-up, and never below 0 or above the base rate."""
    all_rates = rates(schedule)
    rising, falling = all_rates[: schedule.warmup_steps + 1], all_rates[schedule.warmup_steps :]
    slack = schedule.base_learning_rate * 1e-12

    assert all(a <= b + slack for a, b in pairwise(rising))
    assert all(a >= b - slack for a, b in pairwise(falling))
    assert min(all_rates) >= 0
    assert max(all_rates) <= schedule.base_learning_rate + slack


@given(schedules())
def test_the_warm_up_ends_at_the_base_rate_without_a_jump(schedule):
    """The last step of the warm-up and the first after it differ by one step of the ramp."""
    base, warmup = schedule.base_learning_rate, schedule.warmup_steps

    assert learning_rate(schedule, warmup) == pytest.approx(base)
    if warmup:
        assert learning_rate(schedule, 0) == schedule.warmup_from
        before = base - (base - schedule.warmup_from) / warmup
        assert learning_rate(schedule, warmup - 1) == pytest.approx(before, abs=base * 1e-9)


@given(schedules(), st.integers(0, 10_000))
def test_the_last_rate_stays_past_the_end(schedule, more):
    """Training that goes on past its total does not fall off the curve."""
    end = schedule.total_steps

    assert learning_rate(schedule, end + more) == learning_rate(schedule, end)


def test_cosine_boundaries():
    """The base rate at the start, the mean half way, the final fraction at the end."""
    schedule = RateSchedule(0.4, 110, warmup_steps=10, warmup_from=0.1, decay=Cosine(final_fraction=0.5))

    assert learning_rate(schedule, 0) == 0.1
    assert learning_rate(schedule, 5) == pytest.approx(0.25)
    assert learning_rate(schedule, 10) == pytest.approx(0.4)
    assert learning_rate(schedule, 60) == pytest.approx(0.3)
    assert learning_rate(schedule, 110) == pytest.approx(0.2)


def test_poly_boundaries():
    """Power 1 is a straight line to zero, power 2 a parabola."""
    line, parabola = RateSchedule(1.0, 100, decay=Poly()), RateSchedule(1.0, 100, decay=Poly(2.0))

    assert [learning_rate(line, step) for step in (0, 25, 100)] == [1.0, 0.75, 0.0]
    assert learning_rate(parabola, 50) == 0.25


def test_the_rate_drops_at_the_milestone_itself():
    """A milestone is the first step with the new rate, and each one multiplies."""
    schedule = RateSchedule(1.0, 100, warmup_steps=2, decay=Step((30, 60), factor=0.5))

    assert [learning_rate(schedule, step) for step in (29, 30, 59, 60, 99)] == [1.0, 0.5, 0.5, 0.25, 0.25]


def test_constant_is_constant():
    """Without warm-up and decay each step has the base rate."""
    assert set(rates(RateSchedule(0.01, 20))) == {0.01}


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (lambda: RateSchedule(0.0, 10), "schedule.base_learning_rate"),
        (lambda: RateSchedule(math.nan, 10), "schedule.base_learning_rate"),
        (lambda: RateSchedule(0.1, 0), "schedule.total_steps"),
        (lambda: RateSchedule(0.1, 10, warmup_steps=10), "schedule.warmup_steps"),
        (lambda: RateSchedule(0.1, 10, warmup_steps=-1), "schedule.warmup_steps"),
        (lambda: RateSchedule(0.1, 10, warmup_steps=2, warmup_from=0.2), "schedule.warmup_from"),
        (lambda: RateSchedule(0.1, 10, decay=Step(())), "schedule.milestones"),
        (lambda: RateSchedule(0.1, 10, decay=Step((6, 5))), "schedule.milestones"),
        (lambda: RateSchedule(0.1, 10, decay=Step((10,))), "schedule.milestones"),
        (lambda: RateSchedule(0.1, 10, warmup_steps=5, decay=Step((4,))), "schedule.milestones"),
        (lambda: RateSchedule(0.1, 10, decay=Step((5,), factor=0.0)), "schedule.factor"),
        (lambda: RateSchedule(0.1, 10, decay=Cosine(1.5)), "schedule.final_fraction"),
        (lambda: RateSchedule(0.1, 10, decay=Poly(0.0)), "schedule.power"),
        (lambda: RateSchedule(0.1, 10, decay=Poly(math.nan)), "schedule.power"),
    ],
)
def test_numbers_that_cannot_be_are_refused(make, key):
    """Each is named by its key."""
    with pytest.raises(InputError) as error:
        make()

    assert key in [problem.where for problem in error.value.problems]


def test_all_wrong_numbers_are_told_at_once():
    """One look at the message is enough to mend them all."""
    with pytest.raises(InputError) as error:
        RateSchedule(-1.0, 10, warmup_steps=20, decay=Step((50,), factor=2.0))

    assert [problem.where.removeprefix("schedule.") for problem in error.value.problems] == [
        "base_learning_rate",
        "warmup_steps",
        "warmup_from",
        "milestones",
        "factor",
    ]


def test_a_negative_step_is_a_bug_of_the_caller():
    """It is not silently taken for step 0."""
    with pytest.raises(ValueError, match="counted from 0, found -1"):
        learning_rate(RateSchedule(0.1, 10), -1)


def test_a_function_of_the_user_is_a_schedule(tmp_path, monkeypatch):
    """It gives the part of the base rate for the progress after the warm-up; anything else is refused."""
    (tmp_path / "own_schedules.py").write_text(
        "def half(progress):\n    return 1 - progress / 2\n\nwrong = lambda _: -1\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    options = {"warmup_epochs": 1, "kind": "own_schedules:half"}
    made = of_optimizer(Optimizer(name="sgd", learning_rate=0.1, schedule=options), 10, 2)
    wrong = of_optimizer(Optimizer(name="sgd", learning_rate=0.1, schedule={"kind": "own_schedules:wrong"}), 10, 2)

    assert [learning_rate(made, step) for step in (0, 1, 2, 6, 10)] == pytest.approx([0, 0.05, 0.1, 0.075, 0.05])
    with pytest.raises(InputError, match="own_schedules:wrong: gives -1.0 at progress 0.0"):
        learning_rate(wrong, 0)
    with pytest.raises(ValidationError, match="'cosin' is no schedule.*cosine"):
        Optimizer(name="sgd", learning_rate=0.1, schedule={"kind": "cosin"})


_OWN = """
import functools, random, own_memories

following = own_memories.in_closure()
count = own_memories.Counter()
silent = own_memories.Counter()


def counting(progress):
    return 1 / following()


def drawing(progress):
    return random.random()


def patient(progress):
    silent()
    return 1.0 if silent.count < 50 else 0.1


class Callable:
    def __init__(self):
        self.rate = 1.0

    def __call__(self, progress):
        self.rate *= 0.9
        return self.rate


falling = Callable()


@functools.cache
def cached(progress):
    return 1 - progress / 2


TABLE = {}


def remembered(progress):
    return TABLE.setdefault(progress, 1 - progress / 2)
"""


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("counting", "gives 1.0 and then 0.25 at progress 0.0"),
        ("falling", "gives .* and then .* at progress 0.0"),
        ("drawing", "gives .* and then .* at progress 0.0"),
        ("patient", "changes Counter.count in each call"),
    ],
)
def test_a_schedule_that_remembers_its_calls_is_refused(name, said, tmp_path, monkeypatch):
    """Ranks and attempts call it another number of times; a trial leaves its count as it was."""
    (tmp_path / f"own_{name}.py").write_text(_OWN)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=f"own_{name}:{name}: {said}: .* it must depend on the progress alone"):
        require_pure(f"own_{name}:{name}")
    own = importlib.import_module(f"own_{name}")

    assert (own.following(), own.silent.count, own.falling.rate) == (1, 0, 1.0)


@pytest.mark.parametrize("name", ["cached", "remembered"])
def test_a_memory_of_results_is_no_count(name, tmp_path, monkeypatch):
    """A schedule that keeps what it has computed is taken."""
    (tmp_path / f"own_{name}.py").write_text(_OWN)
    monkeypatch.syspath_prepend(tmp_path)

    require_pure(f"own_{name}:{name}")


@given(st.integers(1, 5), st.integers(1, 4), st.data())
def test_what_the_job_file_accepts_fits_any_number_of_steps(epochs, steps_per_epoch, data):
    """However few steps an epoch has, warm-ups and milestones inside the epochs are rounded, not refused."""
    warmup = data.draw(st.floats(0, epochs - 0.01))
    places = st.floats(warmup, epochs, exclude_min=True, exclude_max=True)
    milestones = sorted(data.draw(st.lists(places, min_size=1, max_size=3, unique=True)))
    options = {"kind": "step", "warmup_epochs": warmup, "epochs": milestones, "factor": 0.5}
    optimizer = Optimizer(name="sgd", learning_rate=0.1, schedule=options)
    made = of_optimizer(optimizer, epochs * steps_per_epoch, steps_per_epoch)
    last = learning_rate(made, epochs * steps_per_epoch - 1)

    assert list(check_schedule(optimizer, epochs)) == []
    assert last == pytest.approx(0.1 * 0.5 ** len(milestones))

"""Methods are found by name; names and options that do not fit are refused; all states go through a checkpoint."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from weighting_steps import made

from hpcmtl.errors import InputError, TaskFailedError
from hpcmtl.training.multitask.methods import METHODS
from hpcmtl.training.multitask.weighting import ObjectiveMeasurements

PAGE = Path(__file__).parents[3] / "docs/weightings.md"
OPTIONS = {"fixed": {"weights": [1, 2, 3]}}
COUNT, WIDTH = 3, 6


def steps(method, numbers):
    """The weights or updates of a method in some steps, each with other measurements."""
    found = []
    for number in numbers:
        random = np.random.default_rng(number)
        rows, losses = random.normal(size=(COUNT, WIDTH)), 0.5 + random.random(COUNT)
        if method.combiner is not None:
            found.append(method.combiner.combine(rows, 5))
            continue
        seen = rows if method.transform is None else method.transform.transform(rows, losses)
        measured = ObjectiveMeasurements(
            losses=losses if number else None,
            current_losses=losses,
            losses_after=losses * 0.9 if number else None,
            gramian=seen @ seen.T,
            cross_gramian=seen @ random.normal(size=(COUNT, WIDTH)).T,
            validation_products=random.normal(size=COUNT),
            epoch=number // 2,
        )
        found.append(np.array(method.weighting.weights(measured)))
    return np.array(found)


def parts(method):
    """The parts of a method that have a state."""
    return [part for part in (method.weighting, method.transform, method.combiner) if part is not None]


@pytest.mark.parametrize("name", METHODS)
def test_every_method_goes_on_from_its_state(name):
    """A method with the state of another goes on with the same weights, and an empty state starts it again."""
    whole, half, other = (made(name, COUNT, **OPTIONS.get(name, {})) for _ in range(3))
    expected = steps(whole, range(8))
    steps(half, range(4))
    for part, source in zip(parts(other), parts(half), strict=True):
        part.load_state({key: np.array(array) for key, array in source.state().items()})

    np.testing.assert_array_equal(steps(other, range(4, 8)), expected[4:])
    for part in parts(other):
        part.load_state({})
    np.testing.assert_array_equal(steps(other, range(8)), expected)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_documented_and_made_by_name(name):
    """A method has exactly one of weighting and combiner, and names its source with its year."""
    method = made(name, COUNT, **OPTIONS.get(name, {}))
    (main,) = [part for part in (method.weighting, method.combiner) if part is not None]

    assert name == "equal" or any(
        f" {year}" in type(main).__doc__ or f"({year}" in type(main).__doc__ for year in range(2012, 2026)
    )
    assert np.isfinite(steps(method, range(3))).all()


def test_an_array_of_another_shape_is_refused():
    """A state of other objectives is not taken over."""
    with pytest.raises(TaskFailedError, match=r"the state `learnt` of the weighting has shape \(3,\), and this task"):
        made("famo", 2).weighting.load_state(made("famo", 3).weighting.state())


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("nash", {}, "weighting.name: unknown weighting 'nash'; did you mean 'nash_mtl'?"),
        ("PCGrad", {}, "weighting.name: unknown weighting 'PCGrad'; did you mean 'pcgrad'?"),
        ("dwa", {"temprature": 2}, "weighting.temprature: unknown key 'temprature'; did you mean 'temperature'?"),
        ("dwa", {"temperature": 0}, "weighting.temperature: found 0; write a number that is more than 0"),
        ("famo", {"update": "rmsprop"}, "weighting.update: found 'rmsprop'; valid here: adam, sgd"),
        ("fixed", {}, "weighting.weights: is missing"),
        ("fixed", {"weights": [1]}, "weighting.weights: found 1 numbers for 2 objectives; write one for each"),
        ("upgrad", {"preferences": [1, 2, 3]}, "weighting.preferences: found 3 numbers for 2 objectives"),
        ("trimmed_mean", {}, "weighting.trim: found 1, and the task has 2 objectives, of which none would be left"),
        ("equal", {"c": 1}, "weighting.c: unknown key 'c'"),
    ],
)
def test_what_does_not_fit_is_refused(name, options, said):
    """The message names the key, the value found, and what to write."""
    with pytest.raises(InputError) as refused:
        made(name, 2, **options)
    (problem,) = refused.value.problems

    assert str(problem).startswith(said)


def test_the_example_of_the_page_runs(capsys):
    """The Python of the page gives the weights of CAGrad, which favour the objective with the short gradient."""
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    exec(code, {})  # noqa: S102 - of our own page
    long, short = map(float, re.findall(r"[\d.]+", capsys.readouterr().out))

    assert 0 < long < short


def test_the_page_lists_every_method_with_its_needs():
    """The table of the page has one row for each method, with what its weighting and its transform need."""
    rows = dict(
        re.findall(r"^\| `(\w+)` \| (.+?) \| .* \| .* \|.*\|.*\|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    )
    for name in METHODS:
        method = made(name, COUNT, **OPTIONS.get(name, {}))
        expected = set(method.weighting.needs) if method.weighting is not None else set()
        if method.transform is not None:
            expected |= {type(method.transform).__name__} | (
                {"current_losses"} if method.transform.needs_losses else set()
            )

        assert set(re.findall(r"`(\w+)`", rows[name])) == expected, name
    assert [name for name in rows if name in METHODS] == list(METHODS)

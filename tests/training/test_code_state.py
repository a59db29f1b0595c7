"""Values that the code of users remembers outside of attributes are found, and set back."""

import random
from collections import deque

import numpy as np
import own_memories
import pytest
from own_memories import PLACES

from hpcmtl.training.code_state import CodeState


class Holder:
    """An object of a user that holds a function."""

    def __init__(self, function):
        self.function = function


@pytest.mark.parametrize("place", PLACES)
def test_a_counter_is_found_and_set_back(place):
    """Each place is named once it has changed, and the next call gives what the first one gave."""
    following = getattr(own_memories, place)()
    state = CodeState([Holder(following)])
    first = [following(), following()]
    named = state.restore()
    again = state.restore()

    assert named == [PLACES[place]]
    assert place == "in_iterator" or again == []
    if place != "in_iterator":  # which is another object then, that a partial function does not take
        assert [following(), following()] == first == [1, 2]
        assert state.restore() == named


def test_a_generator_is_found():
    """It cannot be set back, and is named all the same, though its code stands where it stood."""
    following = own_memories.in_generator()
    following()
    state = CodeState([Holder(following)])
    assert state.restore() == []
    following()

    assert state.restore() == ["an argument of next"]


def test_what_stays_is_not_named():
    """Functions that are called and change nothing leave no name, with all that they hold."""
    table, cache, options = np.arange(6.0), deque([1, 2]), {"scale": 2, "name": "x", "inner": {"f": max}}

    def function(value, factor=3.0, *, shift=(1, 2)):
        return table[value] * factor + shift[0] + len(cache) + options["scale"]

    state = CodeState([Holder(function), function, [function]])
    function(2)

    assert state.restore() == []


def test_random_numbers_go_on_as_before():
    """Generators of random numbers in a closure are named, and draw the same numbers again."""
    streams = [random.Random(0), np.random.default_rng(0), np.random.RandomState(0)]

    def draw():
        return [float(each.random()) for each in streams]

    state, held = CodeState([Holder(draw)]), list(streams)
    first = draw()

    assert state.restore() == ["streams in the closure of test_random_numbers_go_on_as_before.<locals>.draw"]
    assert draw() == first
    assert all(map(lambda one, other: one is other, streams, held))


def test_what_is_kept_elsewhere_is_left_alone():
    """An object that is kept elsewhere is not looked into, also in the middle of a list."""
    kept, counts = Holder(own_memories.in_closure()), [0]

    def function():
        counts[0] += 1
        return kept.function(), others

    others = [kept, len]
    state = CodeState([Holder(function)], lambda value: value is kept)
    function()

    assert state.restore() == ["counts in the closure of test_what_is_kept_elsewhere_is_left_alone.<locals>.function"]


def test_an_object_that_holds_itself():
    """Circles of objects and containers end."""
    loop = [1]
    loop.append(loop)

    def function():
        loop[0] += 1
        return function

    holder = Holder(function)
    holder.itself = holder
    state = CodeState([holder])
    function()

    assert state.restore() == ["loop in the closure of test_an_object_that_holds_itself.<locals>.function"]
    assert loop[0] == 1

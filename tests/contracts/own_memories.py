"""Code of users that remembers something in places that are no attributes of networks, losses or optimizers.

It is free of frameworks: a function of no argument that returns 1, 2, 3, ... in its calls, by each place.
"""

import functools
import itertools


def in_closure():
    """A variable of the enclosing function."""
    count = 0

    def following():
        nonlocal count
        count += 1
        return count

    return following


def in_closed_dict():
    """A dict of the enclosing function, beside a function."""
    held = {"count": 0, "add": lambda value: value + 1}

    def following():
        held["count"] = held["add"](held["count"])
        return held["count"]

    return following


def in_default():
    """A default argument."""

    def following(seen=[0]):  # noqa: B006 - as users write it
        seen[0] += 1
        return seen[0]

    return following


def in_partial():
    """An argument of a partial function."""

    def following(seen):
        seen.append(0)
        return len(seen)

    return functools.partial(following, [])


def in_method():
    """A method of an object."""
    return Counter().following


def in_callable():
    """An object that is called."""
    return Counter()


def in_attribute():
    """An attribute that a function gets at its first call."""

    def following():
        following.count = getattr(following, "count", 0) + 1
        return following.count

    return following


def in_iterator():
    """An iterator."""
    return functools.partial(next, itertools.count(1))


def in_generator():
    """A generator, which cannot be set back."""

    def counting():
        count = 0
        while True:
            count += 1
            yield count

    return functools.partial(next, counting())


def in_wrapped():
    """A function inside of a decorator of Python's."""
    inner = in_closure()

    @functools.wraps(inner)
    def following():
        return inner()

    return following


class Counter:
    """An object that counts."""

    def __init__(self):
        self.count = 0

    def following(self):
        self.count += 1
        return self.count

    __call__ = following


class OfClass:
    """A counter of a class."""

    count = 0

    @classmethod
    def following(cls):
        cls.count += 1
        return cls.count


COUNT = 0


def in_global():
    """A variable of the module."""
    return _following_global


def _following_global():
    global COUNT  # noqa: PLW0603 - as users write it
    COUNT += 1
    return COUNT


def in_class():
    """An attribute of a class."""
    return OfClass.following


PLACES = {
    "in_closure": "count in the closure of in_closure.<locals>.following",
    "in_closed_dict": "held in the closure of in_closed_dict.<locals>.following",
    "in_default": "a default argument of in_default.<locals>.following",
    "in_partial": "an argument of in_partial.<locals>.following",
    "in_method": "Counter.count",
    "in_callable": "Counter.count",
    "in_attribute": "in_attribute.<locals>.following.count",
    "in_iterator": "an argument of next",
    "in_wrapped": "count in the closure of in_closure.<locals>.following",
    "in_global": "own_memories.COUNT",
    "in_class": "OfClass.count",
}
"""Function -> name of what it remembers."""

"""Which engine a group gets, and why."""

from __future__ import annotations

import builtins
import sys

import pytest

from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.errors import EnvironmentUnfitError
from hpcmtl.training.gluon.engines.base import LocalEngine
from hpcmtl.training.gluon.engines.kvstore import KVStoreEngine
from hpcmtl.training.gluon.engines.select import Choice, choose_engine, horovod_unusable, open_engine


def choices(asked, ranks):
    """What each rank of a group chooses."""
    return run_ranks(ranks, lambda group: choose_engine(asked, group))


@pytest.mark.parametrize(
    ("asked", "ranks", "choice"),
    [
        ("horovod", 1, Choice("local", "the group has one rank")),
        ("kvstore", 1, Choice("local", "the group has one rank")),
        ("kvstore!", 1, Choice("kvstore", "asked for")),
        ("kvstore", 2, Choice("kvstore", "asked for")),
        ("kvstore!", 2, Choice("kvstore", "asked for")),
        ("local", 1, Choice("local", "the group has one rank")),
        ("local", 2, Choice("kvstore", "engine local is for one rank, the group has 2")),
        (
            "horovod",
            2,
            Choice("kvstore", "horovod cannot be used: these ranks are threads of one process, without MPI"),
        ),
    ],
)
def test_choice_and_reason(asked, ranks, choice):
    """Every rank of a group makes the same choice, for a reason that can be read."""
    assert choices(asked, ranks) == [choice] * ranks


def test_a_demand_for_horovod_is_not_fallen_back_from():
    """`horovod!` ends with what is missing and what to do."""

    def refused(group):
        with pytest.raises(
            EnvironmentUnfitError, match=r"refuses to fall back.*bootstrap.sh, or write `engine: horovod`"
        ):
            choose_engine("horovod!", group)
        return True

    assert run_ranks(2, refused) == [True, True]


class _Mpi:
    """A group that looks as MPI's do."""

    native, size, rank = object(), 2, 0


def test_a_missing_horovod_is_named(monkeypatch):
    """Where Horovod is not installed KVStore takes its place, and the reason says what would help."""
    for name in [name for name in sys.modules if name.split(".")[0] == "horovod"]:
        monkeypatch.delitem(sys.modules, name)
    real = builtins.__import__

    monkeypatch.setitem(sys.modules, "horovod", None)

    assert real is builtins.__import__
    assert "Horovod is not installed" in str(horovod_unusable(_Mpi()))
    assert choose_engine("horovod", _Mpi()).name == "kvstore"
    assert "bootstrap.sh installs what fits" in choose_engine("horovod", _Mpi()).reason


def test_engines_are_opened_by_name():
    """A choice becomes an engine of that name and size."""

    def opened(group):
        engine = open_engine(Choice("kvstore", ""), group)
        return type(engine), engine.name, engine.size

    assert run_ranks(2, opened) == [(KVStoreEngine, "kvstore", 2)] * 2
    assert isinstance(open_engine(Choice("local", ""), run_ranks(1, lambda group: group)[0]), LocalEngine)

"""Which engine a group gets, and why."""

from __future__ import annotations

import builtins
import sys

import pytest

from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.errors import EnvironmentUnfitError
from hpcmtl.training.collectives.local import LocalCollective
from hpcmtl.training.collectives.mpi import MpiCollective
from hpcmtl.training.collectives.select import Choice, choose_collective, open_collective
from hpcmtl.training.gluon.collectives.horovod import horovod_unusable
from hpcmtl.training.gluon.collectives.kvstore import KVStoreCollective
from hpcmtl.training.gluon.framework import GluonFramework

GLUON = GluonFramework().collectives()


def choices(asked, ranks, factories=GLUON):
    """Returns the choices of the ranks of a group."""
    return run_ranks(ranks, lambda group: choose_collective(asked, group, factories))


@pytest.mark.parametrize(
    ("asked", "ranks", "choice"),
    [
        ("horovod", 1, Choice("local", "the group has one rank")),
        ("kvstore", 1, Choice("local", "the group has one rank")),
        ("kvstore!", 1, Choice("kvstore", "asked for")),
        ("kvstore", 2, Choice("kvstore", "asked for")),
        ("kvstore!", 2, Choice("kvstore", "asked for")),
        ("mpi", 1, Choice("local", "the group has one rank")),
        ("mpi", 2, Choice("mpi", "asked for")),
        ("mpi!", 2, Choice("mpi", "asked for")),
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
            choose_collective("horovod!", group, GLUON)
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
    assert choose_collective("horovod", _Mpi(), GLUON).name == "kvstore"
    assert "bootstrap.sh installs what fits" in choose_collective("horovod", _Mpi(), GLUON).reason


def test_collectives_are_opened_by_name():
    """A choice becomes an engine of that name and size."""

    def opened(group, name):
        collective = open_collective(Choice(name, ""), group, GLUON)
        return type(collective), collective.name, collective.size

    assert run_ranks(2, opened, "kvstore") == [(KVStoreCollective, "kvstore", 2)] * 2
    assert run_ranks(2, opened, "mpi") == [(MpiCollective, "mpi", 2)] * 2
    assert run_ranks(1, opened, "local") == [(LocalCollective, "local", 1)]


@pytest.mark.parametrize("asked", ["horovod", "kvstore", "local"])
def test_a_framework_without_collectives_has_mpi(asked):
    """A framework that brings none for its own arrays trains by numpy views, for a reason that names what it lacks."""
    (choice, _) = choices(asked, 2, {})

    assert choice.name == "mpi"
    assert asked in choice.reason

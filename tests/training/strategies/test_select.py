"""The strategy of a group follows the job file; another collective in the place of the one asked for is announced."""

from __future__ import annotations

import logging

import gluon_suite
import pytest
import replica_suite as suite

from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.errors import EnvironmentUnfitError
from hpcmtl.networks.description import Leaf
from hpcmtl.training.gluon.framework import GluonFramework
from hpcmtl.training.learner_settings import LearnerSettings
from hpcmtl.training.strategies.select import StrategySettings, open_strategy


def facts_of(group, engine, compression="none"):
    """The facts of a strategy as a session opens it."""
    framework = GluonFramework()
    learner = framework.learner(
        Leaf(gluon_suite.CONVNET), {"input": suite.IMAGE}, suite.CLASSES, LearnerSettings(suite.SGD)
    )
    strategy = open_strategy(StrategySettings(engine, compression), learner, framework, group)
    strategy.close()
    return strategy.facts


def test_another_collective_is_announced(caplog):
    """A group that cannot have the collective it asked for trains by another, and the log says why."""
    with caplog.at_level(logging.WARNING):
        names = run_ranks(2, lambda group: facts_of(group, "horovod").engine)

    assert names == ["kvstore", "kvstore"]
    assert [record.getMessage() for record in caplog.records] == [
        "engine kvstore: horovod cannot be used: these ranks are threads of one process, without MPI"
    ]


def test_an_exclamation_mark_forbids_another():
    """`horovod!` does not fall back."""

    def refused(group):
        with pytest.raises(EnvironmentUnfitError, match="refuses to fall back"):
            facts_of(group, "horovod!")
        return True

    assert run_ranks(2, refused) == [True, True]


def test_one_rank_needs_no_collective(caplog):
    """Nothing is announced then, and nothing is compressed."""
    with caplog.at_level(logging.WARNING):
        facts = run_ranks(1, lambda group: facts_of(group, "horovod", "fp16"))[0]

    assert (facts.engine, facts.engine_reason) == ("local", "the group has one rank")
    assert facts.compression == "none (one rank)"
    assert caplog.records == []

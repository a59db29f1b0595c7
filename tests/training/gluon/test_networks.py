"""One step of each kind of user network equals that of plain Gluon; `benchmarks/networks.py` does it on groups."""

from __future__ import annotations

import dataclasses
import sys

import numpy as np
import pytest
from runs import CHECKOUT

from hpcmtl.exchange.store import PARAMETERS
from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.jobfile.load import parse_job
from hpcmtl.pipeline.prepare import prepare

sys.path.append(str(CHECKOUT / "benchmarks"))

import networks

# One job runs without oneDNN, which this process has perhaps: see test_onednn.
KINDS = [key for key, kind in networks.KINDS.items() if not kind.python]


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """The job of all kinds, and its samples."""
    data = tmp_path_factory.mktemp("networks") / "d.h5"
    arrays = networks.write_data(data)
    return prepare(parse_job(networks.job_of(KINDS, 1, data))).job, arrays


@pytest.fixture(scope="module")
def parts(job):
    """Parameters that another kind begins with."""
    return {"parts-1": networks.plain_step(job[0], "parts-1", job[1], {})[1]}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("key", KINDS)
def test_one_step(job, parts, key):
    """The first step on one rank changes the parameters as plain Gluon does, after the comparison has said its word."""
    (made, arrays), task = job, f"{key}-1"
    before, after = networks.plain_step(made, task, arrays, parts)
    learner, batch = networks.learner_of(made, task, arrays)
    for mapping in kind_of(made, task).parameter_mappings(made, task):
        learner.load_mapped({PARAMETERS + n: each for n, each in parts[mapping.producer].items()}, mapping)
    rate = made.tasks[task].optimizer.learning_rate
    learner.reseed(5)
    said = learner.compare_step(dataclasses.replace(batch, ranks=2), rate)
    if said.compiled:
        learner.run_uncompiled()
    weights = [objective.weight for objective in kind_of(made, task).objectives(made, task)]
    learner.forward_backward(batch, weights, 1 / networks.ROWS)
    learner.apply(rate)
    found = learner.parameters_matching("*")

    assert said.update == ""
    assert bool(said.compiled) is ("not compiled" in networks.KINDS[key].remark)
    assert said.coupled is (key == "coupled")
    assert networks.step_difference(found, before, after) < networks.BOUND
    assert any(not np.array_equal(before[name], after[name]) for name in before)

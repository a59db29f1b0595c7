"""Measured times of a run's layers, for the plans of later runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hpcmtl.errors import InputError, Problem
from hpcmtl.layerplan.model.speedup import Measurement
from hpcmtl.layerplan.plan import LayerPlan
from hpcmtl.results.ledger import read_events
from hpcmtl.results.run_state import fold
from hpcmtl.results.rundir.directory import RunDirectory

if TYPE_CHECKING:
    from pathlib import Path

    from hpcmtl.results.history import MeasuredLayer

_MOST = 1e12  # bound of any measured number


def measurements_of(run: Path) -> tuple[Measurement, ...]:
    """Returns the measurements of a run from its directory: one for each layer that ran to its end.

    The plan in the directory, and its assignment of ranks to nodes, is that of the last attempt. Layers on a world of
    another size, or after the loss of a rank, are left out: their ranks had other numbers than in the plan.

    Raises:
        InputError: there is no such run, or its files are damaged.
    """
    directory = RunDirectory(run)
    try:
        plan = LayerPlan.from_dict(json.loads(directory.plan_file.read_text(encoding="utf-8")))
        hash(plan)  # fails where there is a list or an object in place of a value
    except OSError as error:
        raise InputError([Problem(str(run), f"this is no run directory: no plan in it ({error.strerror})")]) from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        message = f"this is no plan that this version of hpcmtl can read ({error})"
        raise InputError([Problem(str(directory.plan_file), message)]) from error
    measured = fold(read_events(directory.ledger_file)).measured
    try:
        return tuple(
            _measurement(plan, each)
            for each in measured
            if each.world in {0, plan.ranks} and each.layer.steps and each.layer.step_seconds > 0
        )
    except (ArithmeticError, KeyError, IndexError, TypeError, ValueError) as error:
        message = f"a layer that ended cannot be taken as a measurement ({type(error).__name__}: {error})"
        raise InputError([Problem(str(directory.ledger_file), message)]) from error


def _measurement(plan: LayerPlan, measured: MeasuredLayer) -> Measurement:
    layer, first = measured.layer, measured.first_rank
    nodes, contention = plan.machine.share(range(first, first + layer.ranks))
    times = layer.rows, layer.steps, layer.step_seconds, layer.seconds
    if not all(0 <= each < _MOST for each in times):
        raise ValueError(f"task {layer.task}: rows, steps and seconds are {', '.join(map(str, times))}")
    return Measurement(
        family=plan.task(layer.task).family,
        ranks=layer.ranks,
        nodes=nodes,
        contention=contention,
        rows=layer.rows,
        steps=layer.steps,
        step_seconds=layer.step_seconds,
        seconds=layer.seconds,
    )

"""What the layers of a run took, as measurements for the plans of later ones."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hpcmtl.errors import InputError, Problem
from hpcmtl.layerplan.model.speedup import Measurement
from hpcmtl.layerplan.plan import LayerPlan
from hpcmtl.results.ledger import read, understanding
from hpcmtl.results.rundir.directory import RunDirectory

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_MOST = 1e12  # of anything that was measured


def measurements_of(run: Path) -> tuple[Measurement, ...]:
    """Read the measurements of a run from its directory: one for each layer that came to its end.

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
    blocks: dict[str, tuple[int, int]] = {}
    found = []
    comparable = True
    for number, event in enumerate(read(directory.ledger_file)):
        with understanding(directory.ledger_file, number):
            if event["event"] == "job_started":  # the plan is of the last attempt, and so is what it says of nodes
                comparable = event["ranks"] == plan.ranks
            elif event["event"] == "world_shrunk":  # ranks have other numbers than in the plan from here on
                comparable = False
            elif not comparable:
                continue
            elif event["event"] == "layer_started":
                blocks[event["task"]] = int(event["first_rank"]), int(event["ranks"])
            elif event["event"] == "layer_ended" and event["steps"] and event["step_seconds"] > 0:
                found.append(_measurement(plan, event, *blocks[event["task"]]))
    return tuple(found)


def _measurement(plan: LayerPlan, event: Mapping[str, Any], first: int, ranks: int) -> Measurement:
    """What a layer took that ran on `ranks` ranks from `first` on."""
    nodes, contention = plan.machine.share(range(first, first + ranks))
    times = float(event["rows"]), int(event["steps"]), float(event["step_seconds"]), float(event["seconds"])
    if not all(0 <= each < _MOST for each in times):
        raise ValueError(f"rows, steps and seconds are {', '.join(map(str, times))}")
    return Measurement(plan.task(event["task"]).family, ranks, nodes, contention, *times)

"""What the layers of a run took, as measurements for the plans of later ones."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hpcmtl.errors import InputError, Problem
from hpcmtl.layerplan.plan import LayerPlan
from hpcmtl.layerplan.speedup import Measurement
from hpcmtl.results.ledger import read
from hpcmtl.results.rundir import RunDirectory

if TYPE_CHECKING:
    from pathlib import Path


def measurements_of(run: Path) -> tuple[Measurement, ...]:
    """Read the measurements of a run from its directory: one for each layer that came to its end.

    Raises:
        InputError: there is no such run, or its files are damaged.
    """
    directory = RunDirectory(run)
    try:
        plan = LayerPlan.from_dict(json.loads(directory.plan_file.read_text(encoding="utf-8")))
    except OSError as error:
        raise InputError([Problem(str(run), f"this is no run directory: no plan in it ({error.strerror})")]) from error
    except (ValueError, TypeError, KeyError) as error:
        message = f"this is no plan that this version of hpcmtl can read ({error})"
        raise InputError([Problem(str(directory.plan_file), message)]) from error
    blocks: dict[str, tuple[int, int]] = {}
    found = []
    comparable = True
    for event in read(directory.ledger_file):
        if event["event"] == "job_started":  # the plan is of the last attempt, and so is what it says of nodes
            comparable = event["ranks"] == plan.ranks
        if not comparable:
            continue
        if event["event"] == "layer_started":
            blocks[event["task"]] = event["first_rank"], event["ranks"]
        elif event["event"] == "layer_ended" and event["steps"] and event["step_seconds"] > 0:
            first, ranks = blocks[event["task"]]
            nodes, crowd = plan.machine.share(range(first, first + ranks))
            found.append(
                Measurement(
                    plan.task(event["task"]).family,
                    ranks,
                    nodes,
                    crowd,
                    event["rows"],
                    event["steps"],
                    event["step_seconds"],
                    event["seconds"],
                )
            )
    return tuple(found)

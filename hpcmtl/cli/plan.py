"""`hpcmtl plan`: who would run where, how wide and when."""

from __future__ import annotations

import json

import typer
from rich.console import Console

from hpcmtl.cli.arguments import JobFile, Json, Policy, Ranks
from hpcmtl.layerplan.render import print_plan
from hpcmtl.pipeline.prepare import plan as make_plan
from hpcmtl.pipeline.prepare import prepare


def plan(file: JobFile, ranks: Ranks = None, policy: Policy = None, as_json: Json = False) -> None:
    """Plan a job and print the plan; needs neither MPI nor MXNet."""
    layer_plan = make_plan(prepare(file, ranks, policy))
    if as_json:
        typer.echo(json.dumps(layer_plan.to_dict(), indent=2))
        return
    print_plan(layer_plan, Console())

"""`hpcmtl doctor`: print what was checked, with a remedy for each line that fails."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hpcmtl.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from hpcmtl.launch.checks import Check


def doctor(run_directory: Path, hosts: str | None = None, hostfile: Path | None = None, *, as_json: bool) -> ExitCode:
    """Check the installation, and the hosts of a list, and print the outcome on stdout.

    Args:
        run_directory: where a job would write.
        hosts: hosts of the form ``node1:4,node2:4``.
        hostfile: file of hosts, instead of `hosts`.
        as_json: print ``{"fit": ..., "checks": [...]}`` in place of a table.

    Returns:
        `ExitCode.COMPLETE`, or `ExitCode.ENVIRONMENT_UNFIT` if any check failed.
    """
    from hpcmtl.launch.doctor import run_checks
    from hpcmtl.launch.hosts import chosen_hosts

    checks = run_checks(run_directory, chosen_hosts(hosts, hostfile))
    fit = all(check.ok for check in checks)
    if as_json:
        json.dump({"fit": fit, "checks": [dataclasses.asdict(check) for check in checks]}, sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        from rich.console import Console

        Console().print(_table(checks))
    return ExitCode.COMPLETE if fit else ExitCode.ENVIRONMENT_UNFIT


def _table(checks: Sequence[Check]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table("", "check", "found")
    for check in checks:
        found = Text(check.found)
        if not check.ok:
            found.append(f"\nremedy: {check.remedy}", style="bold")
        mark = Text("ok", style="green") if check.ok else Text("FAILS", style="bold red")
        table.add_row(mark, check.name, found)
    return table

"""Checks of the hosts of a list: each is asked by ssh, as mpirun will start its daemon there."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcmtl.launch.checks import Check, outcome
from hpcmtl.launch.interpreter import SAFE_PATH
from hpcmtl.launch.run_facts import run_facts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hpcmtl.launch.hosts import Host

SECONDS_TO_CONNECT = 10
SECONDS_TO_ANSWER = 60
CLOCKS = 1.0  # s; logs and heartbeats of hosts whose clocks differ by more cannot be put in order
_AT_ONCE = 16
_AGENT = "PRTE_MCA_plm_ssh_agent"  # of Open MPI: what starts its daemons in place of ssh
_FACTS = """
import dataclasses, json, os, sys, time
from hpcmtl.launch.run_facts import run_facts
print(json.dumps({"now": time.time(), "shared": os.path.exists(sys.argv[1]), **dataclasses.asdict(run_facts())}))
"""


@dataclass(frozen=True)
class _Fault:
    found: str
    remedy: str


def host_checks(hosts: Sequence[Host], directory: Path) -> list[Check]:
    """Check that ranks can be started on each host, with the same software, files and time as here.

    Args:
        hosts: the hosts.
        directory: place where the job would write, which exists here.
    """
    mark = directory / f".hpcmtl-doctor-{uuid.uuid4().hex}"
    with suppress(OSError):  # another check tells that nothing can be written there
        mark.touch()
    try:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(lambda host: _check(host, mark), hosts))
    finally:
        mark.unlink(missing_ok=True)


def _check(host: Host, mark: Path) -> Check:
    name, start = f"host {host.name}", time.time()
    answer = _ask(host.name, mark)
    if isinstance(answer, _Fault):
        return outcome(name, False, answer.found, answer.remedy)
    end = time.time()
    faults = list(_faults(host, answer, mark, (start, end)))
    if faults:
        return outcome(name, False, "; ".join(each.found for each in faults), "; ".join(each.remedy for each in faults))
    return outcome(name, True, f"{host.slots} slots on {answer['cores']} cores; answers in {end - start:.1f} s", "")


def _ask(host: str, mark: Path) -> dict[str, Any] | _Fault:
    """Returns the facts of a host, or the reason why there are none."""
    agent = shlex.split(os.environ.get(_AGENT) or "ssh")
    options = ["-o", "BatchMode=yes", "-o", f"ConnectTimeout={SECONDS_TO_CONNECT}"]
    path = os.environ.get("PYTHONPATH", "")
    words = ["env", f"PYTHONPATH={path}", f"PYTHONSAFEPATH={SAFE_PATH}", sys.executable, "-c", _FACTS, str(mark)]
    command = f"cd {shlex.quote(str(Path.cwd()))} && {shlex.join(words)}"
    login = f"`ssh {host} true` must end without a question: give your key to the host (ssh-copy-id {host})"
    try:
        done = subprocess.run(  # noqa: S603 - the user's own ssh, and hosts that were parsed
            [*agent, *(options if Path(agent[0]).name == "ssh" else []), host, command],
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS_TO_ANSWER,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return _Fault(f"no answer within {SECONDS_TO_ANSWER} s", login)
    except OSError as error:
        return _Fault(f"{agent[0]}: {error}", "install an ssh client")
    for line in done.stdout.splitlines():
        if line.startswith('{"now"'):
            facts: dict[str, Any] = json.loads(line)
            return facts
    said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    if done.returncode == 255:  # of ssh itself, not of the command
        return _Fault(said, login)
    same = f"make {Path.cwd()} and {sys.prefix} visible on {host} under the same paths: shared, or copies"
    return _Fault(f"hpcmtl does not start there: {said}", same)


def _faults(host: Host, answer: dict[str, Any], mark: Path, asked: tuple[float, float]) -> Iterator[_Fault]:
    here = run_facts()
    versions = {"python": here.python, **here.versions}
    there = {"python": answer["python"], **answer["versions"]}
    differing = [name for name in sorted(versions.keys() | there.keys()) if versions.get(name) != there.get(name)]
    if differing:
        found = ", ".join(f"{name} {there.get(name, 'missing')} (here {versions.get(name)})" for name in differing)
        yield _Fault(f"other versions: {found}", f"copy the environment of this host to {host.name} again")
    if answer["commit"] != here.commit:
        found = f"another commit of hpcmtl: {answer['commit']} (here {here.commit})"
        yield _Fault(found, f"copy the checkout of this host to {host.name} again")
    if not answer["shared"]:
        found, remedy = (
            f"does not see {mark.parent}",
            "use a run directory (--runs) on a file system that all hosts share",
        )
        yield _Fault(found, remedy)
    off = max(asked[0] - answer["now"], answer["now"] - asked[1], 0.0)
    if off > CLOCKS:
        yield _Fault(f"its clock differs by {off:.1f} s", "let both hosts take their time from one server (NTP)")

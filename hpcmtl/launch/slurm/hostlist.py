"""Which host each rank is on, from what Slurm and other launchers tell; Slurm's lists of hosts are read here.

``scontrol show hostnames`` does the same, but waits for a minute where there is no slurm.conf, as in a container.
"""

from __future__ import annotations

import itertools
import math
import os
import re
from typing import TYPE_CHECKING

from hpcmtl.errors import EnvironmentUnfitError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MOST = 1_000_000  # hosts or ranks of one list; more is a damaged variable
_PART = re.compile(r"\[([^\[\]]*)\]|([^\[\]]+)")
_RANGE = re.compile(r"(\d+)(?:-(\d+))?")
_TASKS = re.compile(r"(\d+)(?:\(x(\d+)\))?")


def expand(nodelist: str) -> tuple[str, ...]:
    """Names of the hosts of a list such as ``n[01-03,07],rack[1-2]n[1-4]-ib,login``, in its order.

    Raises:
        EnvironmentUnfitError: it is no such list.
    """
    hosts: list[str] = []
    for word in _words(nodelist):
        choices = [_choices(nodelist, *match) for match in _PART.findall(word)]
        if "".join(f"[{a}]" if a else b for a, b in _PART.findall(word)) != word:
            raise _unreadable(nodelist, f"{word!r} has a bracket too many or too few")
        if math.prod(map(len, choices)) > MOST:
            raise _unreadable(nodelist, f"{word!r} stands for more than {MOST} hosts")
        hosts += ("".join(parts) for parts in itertools.product(*choices))
    return tuple(hosts)


def tasks_by_node(text: str) -> tuple[int, ...]:
    """Tasks of each node, of a text such as ``2(x3),1``.

    Raises:
        EnvironmentUnfitError: it is no such text.
    """
    counts: list[int] = []
    for word in text.split(","):
        match = _TASKS.fullmatch(word)
        if match is None or int(match[2] or 1) > MOST:
            raise _unreadable(text, f"{word!r} is no number of tasks such as 2 or 2(x3)")
        counts += [int(match[1])] * int(match[2] or 1)
    return tuple(counts)


def hosts_by_rank(size: int, environ: Mapping[str, str] = os.environ) -> tuple[str, ...] | None:
    """Host of each of `size` ranks, as far as the environment of a batch script or of a rank tells.

    Open MPI says when all ranks are on one host. Slurm's step says it of ``srun``, its allocation of ranks that
    ``mpirun`` lays on the slots in order. On the nodes after the first, ``mpirun``'s ranks see the step of its daemons,
    which has fewer tasks than there are ranks: nothing is said then, rather than something wrong.

    Args:
        size: of the world.
        environ: the environment.

    Returns:
        None where it does not tell.

    Raises:
        EnvironmentUnfitError: a variable of Slurm is damaged.
    """
    if environ.get("OMPI_COMM_WORLD_LOCAL_SIZE") == environ.get("OMPI_COMM_WORLD_SIZE") == str(size):
        return (environ.get("PMIX_HOSTNAME") or environ.get("SLURMD_NODENAME") or os.uname().nodename,) * size
    if "OMPI_COMM_WORLD_RANK" not in environ and environ.get("SLURM_STEP_NUM_TASKS") == str(size):
        hosts = _laid_out(environ, "SLURM_STEP_NODELIST", "SLURM_STEP_TASKS_PER_NODE", "")
    else:
        hosts = allocated_slots(environ)
    return tuple(hosts[:size]) if hosts is not None and len(hosts) >= size else None


def allocated_slots(environ: Mapping[str, str] = os.environ) -> tuple[str, ...] | None:
    """Host of each task that Slurm's allocation has room for; of a heterogeneous job its groups one after another.

    Raises:
        EnvironmentUnfitError: a variable of Slurm is damaged.
    """
    groups = environ.get("SLURM_HET_SIZE", "")
    if not groups.isdigit():
        return _laid_out(environ, "SLURM_JOB_NODELIST", "SLURM_TASKS_PER_NODE", "")
    slots: list[str] = []
    for group in range(int(groups)):  # the plain variables speak of group 0 alone
        part = _laid_out(environ, "SLURM_JOB_NODELIST", "SLURM_TASKS_PER_NODE", f"_HET_GROUP_{group}")
        if part is None:
            return None
        slots += part
    return tuple(slots)


def _laid_out(environ: Mapping[str, str], nodes: str, tasks: str, suffix: str) -> tuple[str, ...] | None:
    nodelist, each = environ.get(nodes + suffix), environ.get(tasks + suffix)
    if not nodelist or not each:
        return None
    hosts, counts = expand(nodelist), tasks_by_node(each)
    if len(hosts) != len(counts):
        raise _unreadable(
            nodelist, f"{nodes}{suffix} has {len(hosts)} hosts, {tasks}{suffix}={each!r} speaks of {len(counts)}"
        )
    how = environ.get("SLURM_DISTRIBUTION", "block").partition(":")[0].partition(",")[0]
    if how == "cyclic":
        turns = range(max(counts, default=0))
        return tuple(host for turn in turns for host, count in zip(hosts, counts, strict=True) if turn < count)
    if how != "block":  # plane=SIZE, arbitrary: only MPI itself knows
        return None
    return tuple(host for host, count in zip(hosts, counts, strict=True) for _ in range(count))


def _words(nodelist: str) -> Iterator[str]:
    """The parts between commas that are in no bracket."""
    word, depth = "", 0
    for letter in nodelist.strip():
        depth += (letter == "[") - (letter == "]")
        if letter == "," and depth == 0:
            yield _some(nodelist, word)
            word = ""
        else:
            word += letter
    if nodelist.strip():
        yield _some(nodelist, word)


def _some(nodelist: str, word: str) -> str:
    if not word or any(letter.isspace() for letter in word):
        raise _unreadable(nodelist, f"{word!r} is no name of a host")
    return word


def _choices(nodelist: str, ranges: str, text: str) -> tuple[str, ...]:
    """What may stand at one place of a name: the numbers of a bracket, or the text outside."""
    if text:
        return (text,)
    found: list[str] = []
    for part in ranges.split(","):
        match = _RANGE.fullmatch(part)
        first, last = (match[1], match[2] or match[1]) if match else ("1", "0")
        if not 0 <= int(last) - int(first) < MOST:
            raise _unreadable(nodelist, f"[{ranges}] has {part!r}, which is no number and no range such as 01-03")
        found += (f"{number:0{len(first)}d}" for number in range(int(first), int(last) + 1))
    return tuple(found)


def _unreadable(text: str, why: str) -> EnvironmentUnfitError:
    shown = text if len(text) <= 120 else f"{text[:120]}..."
    return EnvironmentUnfitError(f"Slurm's list {shown!r} cannot be read: {why}")

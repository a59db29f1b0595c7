"""Bounds the start of MPI: where one rank does not come, all others wait in MPI_Init for ever (Open MPI 5.0.11).

MPI_Init may keep Python's lock, so that no thread of the rank could look at the clock: a shell does it. Ranks check in
by files, where they have a directory that all of them see; then the ranks that are missing are named.
"""

from __future__ import annotations

import math
import os
import signal
import subprocess
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from hpcmtl.communicators.daemon import launchers_daemon

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# The number of a process may be given again while the shell sleeps, so that start times are compared as well. Under
# Slurm the daemon belongs to root and gets no signal: there the rank is ended, and srun ends the others.
_SCRIPT = """
born() { cut -d' ' -f22 "/proc/$1/stat" 2>/dev/null; }
seconds=$1 rank=$2 ranks=$3 daemon=$4 folder=$5 self=$6
began=$(born "$daemon") own=$(born "$self") left=$seconds
while [ "$left" -gt 0 ]; do
    nap=$((left < 5 ? left : 5))
    sleep "$nap"
    left=$((left - nap))
    [ "$(born "$self")" = "$own" ] || exit # the rank has ended
done
if [ -z "$folder" ]; then
    echo "hpcmtl: rank $rank: MPI has not started within $seconds s: another rank has not come" >&2
elif mkdir "$folder/said" 2>/dev/null; then
    missing=$(for each in $(seq 0 $((ranks - 1))); do [ -e "$folder/$each" ] || echo "$each"; done)
    missing=$(echo "$missing" | head -n 20 | tr '\\n' ' ')
    if [ -n "${missing% }" ]; then
        echo "hpcmtl: MPI has not started within $seconds s: of $ranks ranks these have not come: $missing" >&2
        hosts=$(cat "$folder"/[0-9]* | sort | uniq -c | tr '\\n' ';' | tr -s ' ')
        echo "  on: $hosts look for the host that is missing" >&2
    else
        echo "hpcmtl: MPI has not started within $seconds s, but all $ranks ranks have come" >&2
        echo "  instead: look at the network between the hosts; HPCMTL_INTERFACE chooses one" >&2
    fi
    echo 3 >"${folder%.ranks}"
else
    sleep 3 # for the words of the rank that speaks
fi
if [ "$(born "$daemon")" = "$began" ] && kill -TERM "$daemon" 2>/dev/null; then
    for nap in $(seq 20); do
        sleep 1
        [ "$(born "$daemon")" = "$began" ] || exit
    done
    kill -KILL "$daemon"
elif [ "$(born "$self")" = "$own" ]; then
    kill -KILL "$self"
fi
"""


@contextmanager
def start_deadline(seconds: float, rank: int, ranks: int, folder: Path | None, host: str) -> Iterator[None]:
    """Ends the launcher's daemon of this node, or this rank, if the block, in which MPI starts, takes too long.

    Args:
        seconds: seconds until then; 0 for never.
        rank: number of this rank.
        ranks: number of ranks.
        folder: folder in which ranks check in, made by this; None without one.
        host: name of this host, for the message.
    """
    if not seconds:
        yield
        return
    if folder is not None:
        try:
            folder.mkdir(exist_ok=True)
            (folder / str(rank)).write_text(f"{host}\n", encoding="utf-8")
        except OSError:  # the message then names no ranks
            folder = None
    words = [
        str(math.ceil(seconds)),
        str(rank),
        str(ranks),
        str(launchers_daemon()),
        str(folder or ""),
        str(os.getpid()),
    ]
    clock = subprocess.Popen(  # noqa: S603 - our own script
        ["/bin/sh", "-c", _SCRIPT, "start_deadline", *words], stdin=subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(clock.pid, signal.SIGKILL)
        clock.wait()

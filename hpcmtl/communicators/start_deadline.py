"""Bounds the start of MPI: where one rank does not come, all others wait in MPI_Init for ever (Open MPI 5.0.11).

MPI_Init may keep Python's lock, so that no thread of the rank could look at the clock: a shell does it. Ranks check in
by files, where they have a directory that all of them see; then the ranks that are missing are named.
"""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from hpcmtl.communicators.daemon import launchers_daemon

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# The number of a process may be given again while the shell sleeps, so that its start time is compared as well.
_SCRIPT = """
born() { cut -d' ' -f22 "/proc/$daemon/stat" 2>/dev/null; }
seconds=$1 rank=$2 ranks=$3 daemon=$4 folder=$5
began=$(born)
sleep "$seconds" || exit
[ -n "$began" ] && [ "$(born)" = "$began" ] || exit
come=$(ls "$folder" 2>/dev/null | sort -n)
if [ -z "$folder" ]; then
    echo "hpcmtl: rank $rank: MPI has not started within $seconds s: another rank has not come" >&2
elif [ "${come%%[!0-9]*}" = "$rank" ]; then
    missing=$(for each in $(seq 0 $((ranks - 1))); do [ -e "$folder/$each" ] || echo "$each"; done)
    missing=$(echo "$missing" | head -n 20 | tr '\\n' ' ')
    echo "hpcmtl: MPI has not started within $seconds s: of $ranks ranks these have not come: $missing" >&2
    echo "  on: $(cat "$folder"/* | sort | uniq -c | tr '\\n' ';' | tr -s ' ') look for the host that is missing" >&2
    echo 3 >"${folder%.ranks}"
else
    sleep 3 # for the words of the first rank that has come
fi
kill -TERM "$daemon"
sleep 20
[ "$(born)" != "$began" ] || kill -KILL "$daemon"
"""


@contextmanager
def start_deadline(seconds: float, rank: int, ranks: int, folder: Path | None, host: str) -> Iterator[None]:
    """Ends the launcher's daemon of this node if the block, in which MPI starts, takes too long.

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
        with suppress(OSError):  # the message then names no ranks
            folder.mkdir(exist_ok=True)
            (folder / str(rank)).write_text(f"{host}\n", encoding="utf-8")
    words = [f"{seconds:g}", str(rank), str(ranks), str(launchers_daemon()), str(folder or "")]
    clock = subprocess.Popen(  # noqa: S603 - our own script
        ["/bin/sh", "-c", _SCRIPT, "start_deadline", *words], stdin=subprocess.DEVNULL, start_new_session=True
    )
    yield
    with suppress(ProcessLookupError):
        os.killpg(clock.pid, signal.SIGKILL)
    clock.wait()

#!/usr/bin/env bash
# Starts a program on RANKS ranks, of this host or of a list of hosts, with horovodrun in its MPI mode (its Gloo mode
# provides no MPI world).
#
# usage: launchers/horovodrun.sh -np RANKS [-H HOST:SLOTS,... | --hostfile FILE] PROGRAM [ARGUMENTS]
set -euo pipefail

# shellcheck source=launchers/environment.sh
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
# shellcheck source=launchers/hosts.sh
. "$here/hosts.sh"

read_command "$@"
choose_transports
flags=()
if [ -n "$hosts" ]; then
    flags+=(-H "$hosts" --mpi-args="$(settings_of_daemons | sed 's/^/--prtemca /' | paste -sd ' ')")
    # Without a name it looks for interfaces of one name on all hosts.
    if [ -n "${HPCMTL_INTERFACE:-}" ]; then flags+=(--network-interfaces "$HPCMTL_INTERFACE"); fi
    program=("$here/rank.sh" "${program[@]}")
else
    share_cores
fi

# horovodrun does not bind, supports root, and passes the whole environment by itself. It imports mxnet to check the
# build of Horovod, and mxnet needs numpy.bool. bash's "_" is the only variable that it cannot pass. The shell that it
# becomes must become mpirun in turn, which signals are sent to.
horovodrun='
import os, numpy
numpy.bool = bool
os.environ.pop("_", None)
execve = os.execve
os.execve = lambda shell, words, environ: execve(shell, [*words[:-1], "exec " + words[-1].lstrip()], environ)
from horovod.runner.launch import run_commandline
run_commandline()'
PATH=$here/openmpi5:$PATH
start_stoppable python -c "$horovodrun" --mpi -np "$ranks" "${flags[@]}" "${program[@]}"

#!/usr/bin/env bash
# Start a program on RANKS ranks with Open MPI's mpirun; within a Slurm allocation on its nodes.
#
# usage: launchers/mpirun.sh -np RANKS PROGRAM [ARGUMENTS]
set -euo pipefail

# shellcheck source=launchers/environment.sh
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
# shellcheck source=launchers/stale_tmp.sh
. "$here/stale_tmp.sh"

read_command "$@"
share_cores

# A program that is given by path wants the MPI of its own environment.
mpirun=mpirun
case ${program[0]} in */*) beside=$(dirname "${program[0]}")/mpirun; if [ -x "$beside" ]; then mpirun=$beside; fi ;; esac

# Bound to one core, MXNet's threads share it with Horovod's: steps then take 2 to 4 times as long, at random.
flags=(--bind-to none)
if [ "$ranks" -gt "$cores" ]; then flags+=(--oversubscribe); fi
if [ "$(id -u)" -eq 0 ]; then flags+=(--allow-run-as-root); fi
# Ranks may outlive others that die (docs/guides/lost_ranks.md); costs nothing that could be measured while nobody does.
# One rank has nobody to outlive, and mpirun would end with 0 whatever it calls MPI_Abort with.
if [ "${HPCMTL_FT:-1}" != 0 ] && [ "$ranks" -gt 1 ] && "$mpirun" --version 2>&1 | grep -qE '\(Open MPI\) ([5-9]|[1-9][0-9])\.'; then
    flags+=(--with-ft ulfm)
fi
for name in $(passed_on); do flags+=(-x "$name"); done

[ -n "${HPCMTL_LAUNCH_DRY_RUN:-}" ] || avoid_stale_tmp
start "$mpirun" -np "$ranks" "${flags[@]}" "${program[@]}"

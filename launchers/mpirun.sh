#!/usr/bin/env bash
# Starts a program on RANKS ranks with Open MPI's mpirun; inside a Slurm allocation, on its nodes.
#
# usage: launchers/mpirun.sh -np RANKS PROGRAM [ARGUMENTS]
set -euo pipefail

# shellcheck source=launchers/environment.sh
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
# shellcheck source=launchers/stale_tmp.sh
. "$here/stale_tmp.sh"

read_command "$@"
share_cores

# For a program given by path, use the MPI of its environment.
mpirun=mpirun
# shellcheck source=launchers/messages.sh
. "$here/messages.sh"
case ${program[0]} in */*) beside=$(dirname "${program[0]}")/mpirun; if [ -x "$beside" ]; then mpirun=$beside; fi ;; esac

[ -n "${HPCMTL_LAUNCH_DRY_RUN:-}" ] || command -v "$mpirun" >/dev/null ||
    refuse "mpirun not found: neither beside ${program[0]} nor on PATH" \
        "load the site's MPI module, or install one with launchers/bootstrap.sh; \`hpcmtl doctor\` says more"

# If bound to one core, MXNet's threads share it with Horovod's: steps then take 2 to 4 times longer, irregularly.
flags=(--bind-to none)
if [ "$ranks" -gt "$cores" ]; then flags+=(--oversubscribe); fi
if [ "$(id -u)" -eq 0 ]; then flags+=(--allow-run-as-root); fi
# Ranks may survive the loss of others (docs/guides/lost_ranks.md); no cost was measurable without a loss. Not for a
# single rank: mpirun would end with 0 whatever code the rank passes to MPI_Abort.
if [ "${HPCMTL_FT:-1}" != 0 ] && [ "$ranks" -gt 1 ] && "$mpirun" --version 2>&1 | grep -qE '\(Open MPI\) ([5-9]|[1-9][0-9])\.'; then
    flags+=(--with-ft ulfm)
fi
for name in $(passed_on); do flags+=(-x "$name"); done

start_stoppable "$mpirun" -np "$ranks" "${flags[@]}" "${program[@]}"

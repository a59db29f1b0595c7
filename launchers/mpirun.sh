#!/usr/bin/env bash
# Starts a program on RANKS ranks with Open MPI's mpirun: on this host, on a list of hosts, or inside a Slurm allocation
# on its nodes.
#
# usage: launchers/mpirun.sh -np RANKS [-H HOST:SLOTS,... | --hostfile FILE] PROGRAM [ARGUMENTS]
set -euo pipefail

# shellcheck source=launchers/environment.sh
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
# shellcheck source=launchers/stale_tmp.sh
. "$here/stale_tmp.sh"
# shellcheck source=launchers/hosts.sh
. "$here/hosts.sh"

read_command "$@"
choose_transports

# For a program given by path, use the MPI of its environment.
mpirun=mpirun
# shellcheck source=launchers/messages.sh
. "$here/messages.sh"
case ${program[0]} in */*) beside=$(dirname "${program[0]}")/mpirun; if [ -x "$beside" ]; then mpirun=$beside; fi ;; esac

[ -n "${HPCMTL_LAUNCH_DRY_RUN:-}" ] || command -v "$mpirun" >/dev/null ||
    refuse "mpirun not found: neither beside ${program[0]} nor on PATH" \
        "load the site's MPI module, or install one with launchers/bootstrap.sh; \`hpcmtl doctor\` says more"

is_open_mpi_5() { "$mpirun" --version 2>&1 | grep -qE '\(Open MPI\) ([5-9]|[1-9][0-9])\.'; }

# If bound to one core, MXNet's threads share it with Horovod's: steps then take 2 to 4 times longer, irregularly.
flags=(--bind-to none)
if [ -n "$hosts" ]; then
    [ -n "${HPCMTL_LAUNCH_DRY_RUN:-}" ] || is_open_mpi_5 ||
        refuse "a list of hosts needs Open MPI 5, and $mpirun is $("$mpirun" --version 2>&1 | head -n 1)" \
            "use the mpirun of launchers/bootstrap.sh, or start the ranks yourself: mpirun --host ... hpcmtl run JOB.yaml"
    # Ranks fill one host after the other; the planner keeps small tasks inside a host. The cores are counted there.
    flags+=(--host "$hosts" --map-by slot)
    while read -r name value; do flags+=(--prtemca "$name" "$value"); done < <(settings_of_daemons)
    names=$(carried)
    program=("$here/rank.sh" "${program[@]}")
    case $mpirun in */*) ;; *) mpirun=$(command -v "$mpirun" || echo "$mpirun") ;; esac # a path is used on all hosts
else
    share_cores
    names=$(passed_on)
    if [ "$ranks" -gt "$cores" ]; then flags+=(--oversubscribe); fi
fi
if [ "$(id -u)" -eq 0 ]; then flags+=(--allow-run-as-root); fi
# Ranks may survive the loss of others (docs/guides/lost_ranks.md); no cost was measurable without a loss. Not for a
# single rank: mpirun would end with 0 whatever code the rank passes to MPI_Abort.
if [ "${HPCMTL_FT:-1}" != 0 ] && [ "$ranks" -gt 1 ] && is_open_mpi_5; then
    flags+=(--with-ft ulfm)
fi
for name in $names; do flags+=(-x "$name"); done

start_stoppable "$mpirun" -np "$ranks" "${flags[@]}" "${program[@]}"

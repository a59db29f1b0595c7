#!/usr/bin/env bash
# Start a program on RANKS ranks with Slurm's srun, inside an allocation; srun passes the whole environment on.
#
# usage: launchers/srun.sh -np RANKS PROGRAM [ARGUMENTS]
set -euo pipefail

# shellcheck source=launchers/environment.sh
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

read_command "$@"
share_cores

# With any other --mpi Open MPI 5 starts RANKS worlds of one rank each. What binding costs: see mpirun.sh.
flags=(--mpi=pmix --cpu-bind=none --kill-on-bad-exit=1)
if [ "$ranks" -gt "$cores" ]; then flags+=(--overcommit); fi
start srun --ntasks="$ranks" "${flags[@]}" "${program[@]}"

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
flags=(--mpi=pmix --cpu-bind=none)
# A script that was submitted with --export=NONE would start its ranks without an environment.
flags+=(--export=ALL)
# To end the others at the first code that is not 0 hides that code, such as the 75 of a job that has stopped with
# checkpoints. A rank that raises ends them by MPI_Abort; where one is gone and they do not see it, --wait does.
flags+=(--kill-on-bad-exit=0 --wait=15)
# Slurm's other ways to meet let a rank go before all have come: it leaves MPI_Init, sends, and whoever is still inside dies
# of it ("Segmentation fault" in mca_pml_ob1_recv_frag_callback_match): one start of 4 ranks in 8, and none with the ring.
export SLURM_PMIX_FENCE=${SLURM_PMIX_FENCE:-ring}
if [ "$ranks" -gt "$cores" ]; then flags+=(--overcommit); fi
start srun --ntasks="$ranks" "${flags[@]}" "${program[@]}"

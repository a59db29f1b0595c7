#!/usr/bin/env bash
# Starts a program on RANKS ranks with Slurm's srun, inside an allocation; srun passes the whole environment.
#
# usage: launchers/srun.sh -np RANKS PROGRAM [ARGUMENTS]
set -euo pipefail

# shellcheck source=launchers/environment.sh
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

# shellcheck source=launchers/messages.sh
. "$here/messages.sh"

read_command "$@"
choose_transports
share_cores
[ -n "${HPCMTL_LAUNCH_DRY_RUN:-}" ] || command -v srun >/dev/null ||
    refuse "srun not found on PATH" "start the job with launchers/mpirun.sh, or inside a Slurm allocation"

# With any other --mpi Open MPI 5 starts RANKS worlds of one rank each. See mpirun.sh for the cost of binding.
flags=(--mpi=pmix --cpu-bind=none)
# A script submitted with --export=NONE would start its ranks without an environment.
flags+=(--export=ALL)
# Killing the other ranks at the first nonzero code hides that code, such as 75 of a job stopped with checkpoints. A rank
# that raises ends the others by MPI_Abort; --wait ends them if a rank is gone without their noticing.
flags+=(--kill-on-bad-exit=0 --wait=15)
# Slurm's other fences release a rank before all have arrived: it leaves MPI_Init and sends, and a rank still inside dies
# ("Segmentation fault" in mca_pml_ob1_recv_frag_callback_match): one start of 4 ranks in 8, and none with the ring.
export SLURM_PMIX_FENCE=${SLURM_PMIX_FENCE:-ring}
if [ "$ranks" -gt "$cores" ]; then flags+=(--overcommit); fi
start_stoppable srun --ntasks="$ranks" "${flags[@]}" "${program[@]}"

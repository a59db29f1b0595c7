#!/usr/bin/env bash
# Becomes PROGRAM on a host of a list, with this host's environment: its programs, its cores for the ranks on it.
#
# usage (by mpirun.sh and horovodrun.sh): rank.sh PROGRAM [ARGUMENTS]
set -euo pipefail

# shellcheck source=launchers/environment.sh
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

ranks=${OMPI_COMM_WORLD_LOCAL_SIZE:?the number of ranks on this host: start rank.sh by mpirun}
SLURM_JOB_NUM_NODES=1 # of the ranks that are counted here
share_cores
hosts=several choose_transports
if [ -n "${HPCMTL_INTERFACE:-}" ]; then
    export OMPI_MCA_btl_tcp_if_include=${OMPI_MCA_btl_tcp_if_include-$HPCMTL_INTERFACE}
fi
exec "$@"

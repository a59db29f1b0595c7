# shellcheck shell=bash
# Common part of the launchers: location of the environment, cores per rank, variables passed to the ranks.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# The programs of hpcmtl's environment come first on PATH: the environment HPCMTL_VENV, else that of this checkout, else
# the installation that contains these launchers (<prefix>/share/hpcmtl/launchers).
for prefix in "${HPCMTL_VENV:-}" "$here/../.venv" "$here/../../.."; do
    if [ -n "$prefix" ] && [ -x "$prefix/bin/hpcmtl" ]; then
        PATH=$(cd "$prefix/bin" && pwd):$PATH
        break
    fi
done
export PATH

# Open MPI's transport "ofi" sleeps for a second at every start of MPI if there is no network of its kind.
[ -e /sys/class/infiniband ] || [ -e /sys/class/cxi ] || export OMPI_MCA_btl=${OMPI_MCA_btl-^ofi}

share_cores() { # sets cores, and OMP_NUM_THREADS unless the user did; nproc would return the latter
    cores=$(($(env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc) * ${SLURM_JOB_NUM_NODES:-1}))
    local each=$((cores / ranks))
    export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((each > 1 ? each : 1))}
    # A rank has two threads that may be busy, Horovod's and MXNet's. A thread that waits in MPI spins, and occupies the
    # core of the thread it waits for: 2 ranks on 2 cores train 1.4 times faster if it yields.
    [ $((2 * ranks)) -le "$cores" ] || export OMPI_MCA_mpi_yield_when_idle=${OMPI_MCA_mpi_yield_when_idle-1}
}

passed_on() { # prints the names of the variables that ranks on other nodes need as well
    compgen -e | LC_ALL=C sort | grep -E '^(HPCMTL_.*|PYTHONPATH|PYTHONSAFEPATH|OMP_NUM_THREADS|OMPI_MCA_(btl|mpi_yield_when_idle)|HDF5_USE_FILE_LOCKING)$' |
        grep -vx HPCMTL_NODE_ID # differs between nodes
}

read_command() { # read_command -np RANKS [--] PROGRAM...: sets ranks and program
    case ${1:-} in -n | -np) ;; *) usage ;; esac
    case ${2:-} in '' | 0* | *[!0-9]*) usage ;; esac
    ranks=$2
    shift 2
    if [ "${1:-}" = -- ]; then shift; fi
    [ $# -gt 0 ] || usage
    # shellcheck disable=SC2034  # used by the launchers
    program=("$@")
}

usage() {
    echo "usage: launchers/$(basename "$0") -np RANKS PROGRAM [ARGUMENTS], e.g. -np 4 hpcmtl run examples/digits.yaml" >&2
    exit 2
}

start() { # start COMMAND...: executes it, or prints it, one word per line, if HPCMTL_LAUNCH_DRY_RUN is set
    if [ -n "${HPCMTL_LAUNCH_DRY_RUN:-}" ]; then
        printf '%s\n' "$@"
        exit 0
    fi
    exec "$@"
}

# shellcheck shell=bash
# What the launchers share: where the environment is, how many cores a rank may use, what is passed on to the ranks.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# The programs of hpcmtl's environment come first on PATH: of the one that is named, else of this checkout, else of the
# installation that these launchers are part of (<prefix>/share/hpcmtl/launchers).
for prefix in "${HPCMTL_VENV:-}" "$here/../.venv" "$here/../../.."; do
    if [ -n "$prefix" ] && [ -x "$prefix/bin/hpcmtl" ]; then
        PATH=$(cd "$prefix/bin" && pwd):$PATH
        break
    fi
done
export PATH

# Open MPI's transport "ofi" sleeps for a second when it finds no network of its kind, in every start of MPI.
[ -e /sys/class/infiniband ] || [ -e /sys/class/cxi ] || export OMPI_MCA_btl=${OMPI_MCA_btl-^ofi}

share_cores() { # set cores, and OMP_NUM_THREADS unless the user has; nproc would echo the latter
    cores=$(($(env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc) * ${SLURM_JOB_NUM_NODES:-1}))
    local each=$((cores / ranks))
    export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((each > 1 ? each : 1))}
    # A rank has two threads that may be busy, Horovod's beside MXNet's. One that waits in MPI spins, and keeps the core
    # from the one that it waits for: 2 ranks on 2 cores train 1.4 times faster if it yields.
    [ $((2 * ranks)) -le "$cores" ] || export OMPI_MCA_mpi_yield_when_idle=${OMPI_MCA_mpi_yield_when_idle-1}
}

passed_on() { # names of the variables that ranks on other nodes must see as well
    compgen -e | LC_ALL=C sort | grep -E '^(HPCMTL_.*|PYTHONPATH|OMP_NUM_THREADS|OMPI_MCA_(btl|mpi_yield_when_idle)|HDF5_USE_FILE_LOCKING)$' |
        grep -vx HPCMTL_NODE_ID # each node has its own
}

read_command() { # read_command -np RANKS [--] PROGRAM...: set ranks and program
    case ${1:-} in -n | -np) ;; *) usage ;; esac
    case ${2:-} in '' | 0* | *[!0-9]*) usage ;; esac
    ranks=$2
    shift 2
    if [ "${1:-}" = -- ]; then shift; fi
    [ $# -gt 0 ] || usage
    # shellcheck disable=SC2034  # the launchers use it
    program=("$@")
}

usage() {
    echo "usage: launchers/$(basename "$0") -np RANKS PROGRAM [ARGUMENTS], e.g. -np 4 hpcmtl run examples/digits.yaml" >&2
    exit 2
}

start() { # start COMMAND...: become it, or show it, one word a line, when HPCMTL_LAUNCH_DRY_RUN is set
    if [ -n "${HPCMTL_LAUNCH_DRY_RUN:-}" ]; then
        printf '%s\n' "$@"
        exit 0
    fi
    exec "$@"
}

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

on_one_host() { # whether mpirun starts all ranks on this host; other schedulers, and default host files, may have more
    [ "${SLURM_JOB_NUM_NODES:-1}" = 1 ] && [ -z "${SLURM_HET_SIZE:-}${PBS_NODEFILE:-}${LSB_HOSTS:-}${LSB_MCPU_HOSTS:-}" ] &&
        [ -z "${PE_HOSTFILE:-}${OMPI_MCA_orte_default_hostfile:-}${PRTE_MCA_prte_default_hostfile:-}" ]
}

choose_transports() { # sets OMPI_MCA_btl, unless the user did
    if [ -z "${hosts:-}" ] && on_one_host; then
        # Ranks talk through shared memory alone (vader of Open MPI 4, sm of 5): none of them listens on a network.
        export OMPI_MCA_btl=${OMPI_MCA_btl-^tcp,ofi}
    elif [ ! -e /sys/class/infiniband ] && [ ! -e /sys/class/cxi ]; then
        # The transport "ofi" sleeps for a second at every start of MPI if there is no network of its kind.
        export OMPI_MCA_btl=${OMPI_MCA_btl-^ofi}
    fi
}

share_cores() { # sets cores, and OMP_NUM_THREADS unless the user did; nproc would return the latter
    cores=$(($(env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc) * ${SLURM_JOB_NUM_NODES:-1}))
    local each=$((cores / ranks))
    export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((each > 1 ? each : 1))}
    # A rank has two threads that may be busy, Horovod's and MXNet's. A thread that waits in MPI spins, and occupies the
    # core of the thread it waits for: 2 ranks on 2 cores train 1.4 times faster if it yields.
    [ $((2 * ranks)) -le "$cores" ] || export OMPI_MCA_mpi_yield_when_idle=${OMPI_MCA_mpi_yield_when_idle-1}
}

# Variables that belong to a host, a shell or a launcher. Open MPI passes its own settings, OMPI_MCA_* and PRTE_MCA_*.
of_this_host='^(_|PATH|PWD|OLDPWD|HOME|USER|LOGNAME|SHELL|SHLVL|TERM|HOST|HOSTNAME|DISPLAY|TMPDIR|LS_COLORS|BASH_FUNC.*|HPCMTL_NODE_ID|(SSH|XDG|DBUS|OMPI|PRTE|PMIX|SLURM|SLURMD)_.*)$'

carried() { # prints the names of the variables that are carried to the hosts of a list: all but those of this host
    compgen -e | LC_ALL=C sort | grep -vE "$of_this_host"
}

passed_on() { # prints the names of the variables that ranks on other nodes need as well
    compgen -e | LC_ALL=C sort | grep -E '^(HPCMTL_.*|PYTHONPATH|PYTHONSAFEPATH|OMP_NUM_THREADS|OMPI_MCA_(btl|mpi_yield_when_idle)|HDF5_USE_FILE_LOCKING)$' |
        grep -vx HPCMTL_NODE_ID # differs between nodes
}

read_command() { # read_command -np RANKS [-H HOSTS | --hostfile FILE] [--] PROGRAM...: sets ranks, program and hosts
    ranks=''
    while [ $# -gt 0 ]; do
        case $1 in
            -n | -np)
                case ${2:-} in '' | 0* | *[!0-9]*) usage ;; esac
                ranks=$2
                ;;
            -H | --hosts | --hostfile)
                declare -F read_hosts >/dev/null && [ $# -ge 2 ] && [ -z "$hosts" ] || usage
                if [ "$1" = --hostfile ]; then read_hostfile "$2"; else read_hosts "$2"; fi
                ;;
            --) shift; break ;;
            -*) usage ;;
            *) break ;;
        esac
        shift 2
    done
    [ $# -gt 0 ] || usage
    # shellcheck disable=SC2034  # used by the launchers
    program=("$@")
    if [ -n "${hosts:-}" ]; then
        ranks=${ranks:-$slots}
        [ "$ranks" -le "$slots" ] || refuse_hosts "$ranks ranks do not fit into the $slots slots of $hosts"
    fi
    [ -n "$ranks" ] || usage
}

usage() {
    local of_hosts=''
    if declare -F read_hosts >/dev/null; then of_hosts=' [-H HOST:SLOTS,... | --hostfile FILE]'; fi
    echo "usage: launchers/$(basename "$0") -np RANKS$of_hosts PROGRAM [ARGUMENTS], e.g. -np 4 hpcmtl run examples/digits.yaml" >&2
    exit 2
}

start() { # start COMMAND...: executes it, or prints it, one word per line, if HPCMTL_LAUNCH_DRY_RUN is set
    if [ -n "${HPCMTL_LAUNCH_DRY_RUN:-}" ]; then
        printf '%s\n' "$@"
        exit 0
    fi
    exec "$@"
}

start_stoppable() { # start_stoppable COMMAND...: as `start`, for a launcher that kills the ranks on TERM, INT or HUP
    [ -z "${HPCMTL_LAUNCH_DRY_RUN:-}" ] || start "$@"
    child='' asked='' code=0
    trap 'pass_on USR1' USR1
    trap 'pass_on USR2' USR2
    trap 'pass_on TERM' TERM
    trap 'pass_on INT' INT
    trap 'pass_on HUP' HUP
    # In a process group of its own (-m), so that Ctrl-C reaches this shell alone. There it must not read a terminal.
    [ ! -t 0 ] || exec </dev/null
    set -m
    { set +m; if declare -F avoid_stale_tmp >/dev/null; then avoid_stale_tmp; fi; trap '' TTOU; exec "${outlived[@]}" "$@"; } <&0 &
    child=$!
    set +m # or `wait` returns while the command is stopped, again and again
    [ -z "$asked" ] || kill "-$passed" "$child" 2>/dev/null || : # the signal arrived during the previous lines
    while kill -0 "$child" 2>/dev/null; do wait "$child" && code=0 || code=$?; done # a signal interrupts `wait` alone
    wait "$child" 2>/dev/null && code=0 || code=$?
    exit "$code"
}

# A shell that is killed must not leave the ranks behind.
outlived=()
if setpriv --pdeathsig KILL true 2>/dev/null; then outlived=(setpriv --pdeathsig KILL); fi

# pass_on SIGNAL: the first becomes USR1, on which the ranks stop with checkpoints, TERM becomes USR2, on which they have
# a limited time for that; the next goes on as it is.
pass_on() {
    local signal=$1
    if [ -n "$asked" ]; then
        # `timeout` sends TERM to the command and once more to its process group.
        if [ "$asked" = TERM ] && [ "$signal" = TERM ] && [ $((SECONDS - since)) -le 1 ]; then return 0; fi
        if [ "$signal" = INT ]; then signal=TERM; fi # at one INT, srun only prints what its tasks do
        case $signal in USR1 | USR2) ;; *) echo "hpcmtl: SIG$1: ending the ranks" >&2 || : ;; esac
    else
        since=$SECONDS signal=USR1
        case $1 in TERM | USR2) signal=USR2 ;; esac
        passed=$signal
        case $1 in USR1 | USR2) ;; *)
            echo "hpcmtl: SIG$1: stopping at the next step boundary; once more ends the ranks at once" >&2 || : ;;
        esac
    fi
    asked=$1
    [ -z "$child" ] || kill "-$signal" "$child" 2>/dev/null || :
}

#!/usr/bin/env bash
# A real Slurm of four nodes (n1 to n4) on this host, for the tests and for trying things by hand.
#
# usage: eval "$(tests/slurm/cluster.sh start [DIR])"   start it, and set SLURM_CONF: then sbatch, srun, squeue ...
#        tests/slurm/cluster.sh status|stop [DIR]       say what runs; end it, with its jobs
#        tests/slurm/cluster.sh install                 only install the Debian packages, which start does if needed
# DIR holds all of it (default: a directory in /tmp, one for each user and checkout), the logs also after the end.
# Exit codes: 0, 1 it does not work, 2 usage, 3 nothing runs, 77 no Slurm here, and no right to install it.
# The system's own slurm.conf, munge and services are neither used nor touched.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=launchers/messages.sh
. "$here/../../launchers/messages.sh"

packages=(slurm-wlm munge libpmix-dev)
nodes=(n1 n2 n3 n4)
daemons=(munged slurmctld "${nodes[@]}")
cleared=(log state spool tmp jobcomp.txt munge.key)
seconds=60 # an idle machine needs 3
policy=/usr/sbin/policy-rc.d # says whether packages that are installed may start services
export PATH=$PATH:/usr/sbin:/sbin

fail() { say "$*"; exit 1; }

installed() { # without libpmix-dev Slurm's plugin does not find its library, and there is no srun --mpi=pmix
    local tool
    for tool in slurmctld slurmd sbatch munged mungekey; do command -v "$tool" >/dev/null || return 1; done
    compgen -G '/usr/lib/*/pmix2/lib/libpmix.so' >/dev/null
}

install_packages() {
    if installed; then return; fi
    if ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then
        say "no Slurm on this host, and no right to install it (needs root and apt-get)"
        say "  instead: apt-get install ${packages[*]}"
        exit 77
    fi
    say "installing ${packages[*]} ..."
    local log apt=(apt-get -o DPkg::Lock::Timeout=300)
    log=$(mktemp)
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
        trap 'rm -f "$policy"' EXIT
    fi
    apt_install() { DEBIAN_FRONTEND=noninteractive "${apt[@]}" install -y --no-install-recommends "${packages[@]}"; }
    if ! { apt_install || { "${apt[@]}" update && apt_install; }; } >"$log" 2>&1 </dev/null || ! installed; then
        tail -n 20 "$log" | sed 's/^/    /' >&2
        fail "could not install ${packages[*]}: see the lines above; the whole log: $log"
    fi
    rm -f "$log"
}

is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

free_ports() { # the first of five free ports in a row; where to look first depends on DIR, so that two clusters never meet
    local start try port first
    start=$(cksum <<<"$dir" | cut -d' ' -f1)
    for ((try = 0; try < 1250; try++)); do
        first=$((20000 + (start + try) % 1250 * 8)) # below the ports that the kernel deals out
        for ((port = first; port < first + 5; port++)); do is_free "$port" || continue 2; done
        echo "$first"
        return
    done
    fail "no five free ports in a row between 20000 and 30000"
}

write_configuration() {
    local host port
    host=$(hostname -s)
    port=$(free_ports)
    cat >"$SLURM_CONF" <<END
ClusterName=hpcmtl
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
# A requeued job waits until the credential of its last attempt has expired: two minutes by default.
AuthType=auth/munge
AuthInfo=socket=$dir/munge.sock,cred_expire=10
StateSaveLocation=$dir/state
SlurmctldPidFile=$dir/slurmctld.own
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdSpoolDir=$dir/spool/%n
SlurmdPidFile=$dir/%n.own
SlurmdLogFile=$dir/log/%n.log
# Where the PMIx of a node has its sockets.
TmpFS=$dir/tmp/%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc=$dir/jobcomp.txt
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=500
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
SchedulerParameters=batch_sched_delay=0,sched_interval=5,bf_interval=2
# Small, so that a test can go beyond it: the last index is 8.
MaxArraySize=9
KillWait=5
SlurmdTimeout=20
MessageTimeout=30
ReturnToService=2
SlurmdParameters=config_overrides
NodeName=n[1-4] NodeHostname=$host NodeAddr=127.0.0.1 Port=[$((port + 1))-$((port + 4))] CPUs=4 RealMemory=4000
PartitionName=main Nodes=ALL Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime=10
PartitionName=high Nodes=ALL PriorityTier=10 PreemptMode=OFF
END
}

belongs() { # belongs PID: a daemon of this cluster, a step's, or a process of a job; not who only uses the cluster
    local variables=/proc/$1/environ
    grep -qzsxF "HPCMTL_TEST_CLUSTER=$dir" "$variables" && return
    grep -qzsxF "SLURM_CONF=$SLURM_CONF" "$variables" || return 1
    grep -qzs '^SLURM_JOB_ID=' "$variables" || grep -qsx slurmstepd "/proc/$1/comm"
}

ours() { # all living processes of the cluster
    local file
    while read -r file; do
        if belongs "${file//[!0-9]/}"; then echo "${file//[!0-9]/}"; fi
    done < <(grep -lzsxF -e "HPCMTL_TEST_CLUSTER=$dir" -e "SLURM_CONF=$SLURM_CONF" /proc/[0-9]*/environ)
}

pid_of() { # pid_of DAEMON: print it if it lives; its number may be another process by now
    local pid
    pid=$(cat "$dir/$1.pid" 2>/dev/null) && [ -n "$pid" ] && belongs "$pid" && echo "$pid"
}

launch() { # launch DAEMON COMMAND...: with nothing of the caller's but the path; an inherited lock would be held for ever
    local name=$1
    shift
    (
        local fd
        for fd in /proc/self/fd/*; do
            fd=${fd##*/}
            if [ "$fd" -gt 2 ]; then eval "exec $fd>&-"; fi
        done
        cd "$dir"
        exec setsid env -i HPCMTL_TEST_CLUSTER="$dir" PATH="$PATH" "$@" </dev/null >"log/$name.out" 2>&1
    ) &
    echo $! >"$dir/$name.pid"
}

died() { # print the daemons that have been launched and are not there
    local name
    for name in "${daemons[@]}"; do
        if [ -f "$dir/$name.pid" ] && ! kill -0 "$(cat "$dir/$name.pid")" 2>/dev/null; then echo "$name"; fi
    done
}

await() { # await CONDITION...: wait for it; what keeps it from coming true is said
    local end=$((SECONDS + seconds)) dead name
    until "$@"; do
        dead=$(died)
        if [ -z "$dead" ] && [ "$SECONDS" -lt "$end" ]; then sleep 0.1 && continue; fi
        for name in $dead; do
            say "$name ended; the last it said:"
            tail -qn 5 "$dir/log/$name".{out,log} 2>/dev/null | sed 's/^/    /' >&2 || true
        done
        if [ -z "$dead" ]; then
            say "the nodes are not ready after $seconds s; sinfo says:"
            timeout 10 sinfo --Node --long 2>&1 | sed 's/^/    /' >&2 || true
        fi
        stop
        fail "no cluster; all logs are in $dir/log"
    done
}

all_live() { local name; for name in "${daemons[@]}"; do pid_of "$name" >/dev/null || return 1; done; }
are_idle() { [ "$(timeout 10 sinfo --noheader --partition=main --format='%D %T' 2>/dev/null)" = "${#nodes[@]} idle" ]; }

start() {
    if all_live; then
        say "the cluster in $dir runs already"
        return
    fi
    install_packages
    stop
    rm -rf "${cleared[@]/#/${dir:?}/}"
    mkdir -p "$dir/log" "$dir/state" "${nodes[@]/#/$dir/spool/}" "${nodes[@]/#/$dir/tmp/}"
    write_configuration
    mungekey --create --keyfile="$dir/munge.key"
    launch munged munged --foreground --force --key-file="$dir/munge.key" --socket="$dir/munge.sock" \
        --pid-file="$dir/munged.own" --seed-file="$dir/munge.seed" --log-file="$dir/log/munged.log"
    await [ -S "$dir/munge.sock" ]
    launch slurmctld slurmctld -D -c -f "$SLURM_CONF"
    local node
    for node in "${nodes[@]}"; do launch "$node" slurmd -D -f "$SLURM_CONF" -N "$node"; done
    await are_idle
    say "four nodes are idle after $SECONDS s; logs are in $dir/log"
}

has_no_jobs() { [ -z "$(timeout 10 squeue --noheader 2>/dev/null)" ]; }

stop() {
    local name pid end
    [ -f "$SLURM_CONF" ] || return 0
    if pid_of slurmctld >/dev/null; then # jobs get their chance to end, KillWait and a little more
        squeue --noheader --format=%A 2>/dev/null | sort -u | xargs --no-run-if-empty timeout 10 scancel || true
        end=$((SECONDS + 10))
        until has_no_jobs || [ "$SECONDS" -ge "$end" ]; do sleep 0.1; done
    fi
    for name in "${daemons[@]}"; do
        if pid=$(pid_of "$name"); then kill "$pid" 2>/dev/null || true; fi
    done
    end=$((SECONDS + 10))
    until [ -z "$(ours)" ] || [ "$SECONDS" -ge "$end" ]; do sleep 0.1; done
    for pid in $(ours); do kill -KILL "$pid" 2>/dev/null || true; done
    rm -f "$dir"/*.pid "$dir"/munge.sock*
}

status() {
    local name pid code=0
    say "cluster in $dir"
    for name in "${daemons[@]}"; do
        if pid=$(pid_of "$name"); then echo "$name runs (pid $pid)"; else echo "$name does not run" && code=1; fi
    done
    if [ -z "$(ours)" ]; then return 3; fi
    timeout 10 sinfo --Node --format='%N %P %T' || code=1
    timeout 10 squeue || code=1
    return "$code"
}

case ${1:-} in start | stop | status | install) ;; *) sed -n '2,10s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;; esac
dir=$(realpath -m "${2:-/tmp/hpcmtl-slurm-$(id -u)-$(cksum <<<"$here" | cut -d' ' -f1)}")
if [ "${#dir}" -gt 80 ]; then fail "$dir is too long a path for a socket (80 characters at most): name another DIR"; fi
export SLURM_CONF=$dir/slurm.conf
if [ "$1" = install ]; then
    install_packages
    exit
fi
if [ ! -e "$dir" ]; then
    mkdir -p "$dir"
    chmod 700 "$dir"
fi
if [ ! -O "$dir" ]; then fail "$dir belongs to somebody else: name another DIR"; fi
for name in "${cleared[@]}"; do # a cluster's directories are cleared when it starts: they must be a cluster's
    if [ -e "$dir/$name" ] && [ ! -f "$SLURM_CONF" ]; then fail "$dir has a $name of its own: name another DIR"; fi
done
exec 9>"$dir/lock"
flock 9 # one start or stop at a time
case $1 in
    start)
        start
        echo "export SLURM_CONF=$SLURM_CONF" | tee "$dir/env.sh"
        ;;
    stop)
        stop
        say "nothing runs in $dir any more"
        ;;
    status) status ;;
esac

# shellcheck shell=bash
# A list of hosts for mpirun.sh and horovodrun.sh: -H NAME:SLOTS,... or --hostfile FILE; sourced by them.

hosts='' # NAME:SLOTS,NAME:SLOTS; empty for this host alone, or the nodes of the Slurm allocation
slots=0  # of all hosts

read_hosts() { # read_hosts NAME:SLOTS,...: sets hosts and slots
    local host number
    local -A seen=()
    local -a list
    IFS=, read -ra list <<<"$1"
    [ ${#list[@]} -gt 0 ] || refuse_hosts "no hosts"
    for host in "${list[@]}"; do
        number=${host##*:}
        [[ $host == ?*:* && $number =~ ^[1-9][0-9]{0,5}$ ]] || refuse_hosts "'$host' is no NAME:SLOTS"
        [[ ${host%:*} =~ ^[A-Za-z0-9][A-Za-z0-9._-]*$ ]] || refuse_hosts "'${host%:*}' is no name of a host"
        [ -z "${seen[${host%:*}]:-}" ] || refuse_hosts "${host%:*} is given twice"
        seen[${host%:*}]=1
        slots=$((slots + number))
    done
    # shellcheck disable=SC2034  # used by the launchers
    hosts=$(IFS=,; echo "${list[*]}")
}

read_hostfile() { # read_hostfile FILE: lines of the form NAME slots=SLOTS; # begins a comment
    local name number rest found=''
    [ -r "$1" ] || refuse_hosts "the host file $1 cannot be read"
    while read -r name number rest; do
        name=${name%%#*} number=${number%%#*}
        [ -n "$name" ] || continue
        [[ $number =~ ^slots=[0-9]+$ && ( -z $rest || $rest == \#* ) ]] || refuse_hosts "$1: '$name $number $rest' is no 'NAME slots=SLOTS'"
        found+=${found:+,}$name:${number#slots=}
    done < <(cat "$1"; echo)
    read_hosts "$found"
}

refuse_hosts() {
    echo "hpcmtl: hosts: $1; write -H node1:4,node2:4, or in the file of --hostfile one line for each: node1 slots=4" >&2
    exit 2
}

settings_of_daemons() { # prints names and values of the settings of mpirun's daemons on a list of hosts
    echo prte_keep_fqdn_hostnames 1
    # A host that does not answer for 25 s is lost, and mpirun ends the run. The defaults wait for 8 minutes.
    printf 'oob_tcp_keepalive_%s\n' 'time 10' 'intvl 5' 'probes 3'
    if [ -n "${HPCMTL_INTERFACE:-}" ]; then echo "prte_if_include $HPCMTL_INTERFACE"; fi
}

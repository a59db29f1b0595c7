#!/usr/bin/env bash
# Two hosts on this machine, joined by a network: for the tests, for benchmarks, and for trying things by hand.
#
# usage: tests/hosts/two_hosts.sh start NAME [RATE]    two network namespaces NAMEa and NAMEb, joined at RATE (1gbit)
#        tests/hosts/two_hosts.sh stop NAME
#        tests/hosts/two_hosts.sh cut NAME             nothing reaches the other host any more; cut once, for good
#        tests/hosts/two_hosts.sh on HOST COMMAND...   runs a command on a host, e.g. on NAMEa hpcmtl run ... -H NAMEa:2,NAMEb:2
#        tests/hosts/two_hosts.sh ssh HOST COMMAND...  as ssh would: in the home directory, without this environment
# The hosts share memory and files; each has half of the cores, its own network, host name and loopback interface. Needs
# root, iproute2 and util-linux; exits with 77 where there can be no such hosts.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export PATH=$PATH:/usr/sbin:/sbin
verb=${1:-} name=${2:-}
[ -n "$name" ] || { sed -n '3,12p' "${BASH_SOURCE[0]}" >&2; exit 2; }

cores_of() { # cores_of HOST: the first half of the cores for NAMEa, the others for NAMEb
    local all half
    all=$(nproc --all)
    half=$((all > 1 ? all / 2 : 1))
    case $1 in
        *a) echo "0-$((half - 1))" ;;
        *) echo "$((all > 1 ? half : 0))-$((all - 1))" ;;
    esac
}

inside() { # inside HOST COMMAND...: with the host's network and name
    local host=$1
    shift
    # shellcheck disable=SC2016  # for the inner shell
    exec taskset -c "$(cores_of "$host")" ip netns exec "$host" unshare --uts sh -c 'hostname "$0"; exec "$@"' "$host" "$@"
}

start() {
    local rate=$1 host number=1
    ip netns add "${name}a" || exit 77
    ip netns add "${name}b"
    # horovodrun needs interfaces of one name.
    ip link add net0 netns "${name}a" type veth peer name net0 netns "${name}b" || exit 77
    for host in "${name}a" "${name}b"; do
        mkdir -p "/etc/netns/$host" # ip netns lays these files over /etc
        printf '127.0.0.1 localhost\n10.77.0.1 %sa\n10.77.0.2 %sb\n' "$name" "$name" >"/etc/netns/$host/hosts"
        ip -n "$host" addr add "10.77.0.$number/24" dev net0
        ip -n "$host" link set net0 up
        ip -n "$host" link set lo up
        ip netns exec "$host" tc qdisc add dev net0 root tbf rate "$rate" burst 256kb latency 50ms
        number=$((number + 1))
    done
}

stop() {
    local host
    for host in "${name}a" "${name}b"; do
        ip netns pids "$host" 2>/dev/null | xargs -r kill -KILL || true
        ip netns del "$host" 2>/dev/null || true
        rm -rf "/etc/netns/$host"
    done
}

case $verb in
    start) start "${3:-1gbit}" ;;
    stop) stop ;;
    cut) ip -n "${name}b" link set net0 down ;;
    on)
        shift 2
        export PATH=$here/bin:$PATH # the ssh of these hosts
        inside "$name" "$@"
        ;;
    ssh)
        shift 2
        cd "$HOME"
        exec env -i HOME="$HOME" PATH="$here/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin" \
            taskset -c "$(cores_of "$name")" ip netns exec "$name" unshare --uts sh -c "hostname $name; $*"
        ;;
    *) exec "${BASH_SOURCE[0]}" ;;
esac

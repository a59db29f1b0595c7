# shellcheck shell=bash
# How the launchers talk to people: sourced by the others, all of it on stderr.

say() { echo "hpcmtl: $*" >&2; }

refuse() { # refuse REASON REMEDY: exit 3, the environment is not fit
    say "$1"
    say "  instead: $2"
    exit 3
}

step() { # step TITLE COMMAND...: run it with its output in a log of its own under $logs; show the end of that if it fails
    local title=$1 log started=$SECONDS status reason
    shift
    log=${logs:?}/$(tr -cs 'a-z0-9' '-' <<<"${title,,}" | cut -c1-40).log
    say "$title ..."
    set +e # so that in the subshell the first failing line of a function ends it
    (set -e; "$@") >"$log" 2>&1 </dev/null
    status=$?
    set -e
    if [ "$status" -ne 0 ]; then
        reason=$(grep -m1 -E 'No space left|fatal error:|[^a-zA-Z]error:|^ *(CMake Error|ERROR|E: )' "$log" || true)
        tail -n 20 "$log" | sed 's/^/    /' >&2
        say "$title FAILED after $((SECONDS - started)) s: ${reason:-see the lines above}"
        say "  the whole log: $log"
        exit 3
    fi
    say "$title: $((SECONDS - started)) s"
}

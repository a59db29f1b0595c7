# shellcheck shell=bash
# Messages of the launchers on stderr; sourced by the other scripts.

say() { echo "hpcmtl: $*" >&2; }

refuse() { # refuse REASON REMEDY: exits with 3, unfit environment
    say "$1"
    say "  instead: $2"
    exit 3
}

step() { # step TITLE COMMAND...: runs it with output to a log in $logs; prints the end of the log if it fails
    local title=$1 log started=$SECONDS status reason
    shift
    log=${logs:?}/$(tr -cs 'a-z0-9' '-' <<<"${title,,}" | cut -c1-40).log
    say "$title ..."
    set +e # the subshell needs its own -e to end a function at the first failing line
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

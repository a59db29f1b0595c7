#!/usr/bin/env bash
# Creates the environment if necessary, then runs a job on this machine.
#
# usage: launchers/local.sh JOB.yaml [options of `hpcmtl run`]        e.g. launchers/local.sh examples/digits.yaml
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

case ${1:-} in
    '' | -*) echo "usage: launchers/local.sh JOB.yaml [options of hpcmtl run], e.g. examples/digits.yaml" >&2; exit 2 ;;
esac

"$root/launchers/bootstrap.sh"
# shellcheck source=launchers/environment.sh
. "$root/launchers/environment.sh"

# The examples use data sets that scripts in datasets/ build; other jobs must have their data.
if [ -f "$1" ] && [ "$(dirname "$(realpath "$1")")" = "$(realpath "$root/examples")" ]; then
    grep -oE 'data/[A-Za-z0-9_]+\.h5' "$1" | sort -u | while read -r data; do
        builder=$root/datasets/$(basename "$data" .h5).py
        if [ ! -f "$root/$data" ] && [ -f "$builder" ]; then (cd "$root" && python "$builder" >&2); fi
    done
fi

exec hpcmtl run "$@"

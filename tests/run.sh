#!/usr/bin/env bash
# Every check of the project, cheapest first; ends with pytest's closing line.
#
# usage: tests/run.sh [quick] [pytest options]        quick: without the tests marked slow, fewer examples
#   HPCMTL_TESTS_AT_ONCE  tests side by side (default: one more than there are cores)
#   HPCMTL_TESTS_SLURM    required: fail where there can be no Slurm; no: leave its tests out (default: skip and say so)
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
export HPCMTL_VENV=${HPCMTL_VENV:-$PWD/.venv}
export OMP_NUM_THREADS=1 # the tests are many small processes
cores=$(env -u OMP_NUM_THREADS nproc) # nproc counts no more cores than OMP_NUM_THREADS
at_once=${HPCMTL_TESTS_AT_ONCE:-$((cores + 1))} # tests wait a third of their time, for ranks that start and end

launchers/bootstrap.sh
export PATH=$HPCMTL_VENV/bin:$PATH
unset PYTHONPATH
unset PYTHONDONTWRITEBYTECODE # or each of them compiles the package anew

chosen=()
if [ "${1:-}" = quick ]; then
    chosen=(-m "not slow" --hypothesis-profile quick)
    shift
fi

set -x
ruff check .
ruff format --check .
mypy
lint-imports
shellcheck --external-sources launchers/*.sh tests/*.sh tests/slurm/*.sh .ci/run
{ set +x; } 2>/dev/null
exec pytest -n "$at_once" --dist loadscope "${chosen[@]}" "$@"

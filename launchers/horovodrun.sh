#!/usr/bin/env bash
# Start a program on RANKS ranks of this host with horovodrun in its MPI mode (its Gloo mode gives the job no MPI world).
#
# usage: launchers/horovodrun.sh -np RANKS PROGRAM [ARGUMENTS]
set -euo pipefail

# shellcheck source=launchers/environment.sh
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

read_command "$@"
share_cores

# horovodrun binds nothing, runs as root and passes the whole environment on by itself. It imports mxnet to see what
# Horovod was built with, and mxnet needs numpy.bool; bash's "_" is the one variable that it cannot pass on.
horovodrun='
import os, numpy
numpy.bool = bool
os.environ.pop("_", None)
from horovod.runner.launch import run_commandline
run_commandline()'
PATH=$here/openmpi5:$PATH
start python -c "$horovodrun" --mpi -np "$ranks" "${program[@]}"

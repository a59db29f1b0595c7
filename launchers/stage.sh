#!/usr/bin/env bash
# Copies the environment of the ranks to a folder of each node of a Slurm job, and prints the path of its Python there.
# Thousands of ranks that import their libraries from one file system wait for it.
#
# usage: launchers/stage.sh PYTHON FOLDER
#
# FOLDER, an absolute path, is there on all nodes; it may be one that they share. The copy is FOLDER/environment. hpcmtl is in it also if it
# was installed in place (editable). If it fails nothing of the copy stays. Exit codes: 0, 2 usage, others no copy.
set -euo pipefail

# shellcheck source=launchers/messages.sh
. "$(dirname "${BASH_SOURCE[0]}")/messages.sh"

case ${2:-} in /*) ;; *) set -- ;; esac # a relative folder differs between nodes
[ $# -eq 2 ] || { echo "usage: launchers/stage.sh PYTHON FOLDER" >&2; exit 2; }
folder=$2
nodes=${SLURM_JOB_NUM_NODES:-1}

# The prefix, the folder that has the package hpcmtl, and the folder for libraries below the prefix.
mapfile -t facts < <("$1" - <<'PYTHON'
import os, pathlib, sys, sysconfig
if sys.path[0] == "":  # the working directory, which the ranks do not search
    del sys.path[0]
import hpcmtl
print(sys.prefix, pathlib.Path(hpcmtl.__file__).resolve().parents[1], sep="\n")
print(os.path.relpath(sysconfig.get_path("purelib"), sys.prefix), os.path.relpath(sys.executable, sys.prefix), sep="\n")
PYTHON
)
[ "${#facts[@]}" -eq 4 ] || { say "stage: $1 cannot import hpcmtl"; exit 1; }
prefix=${facts[0]} source=${facts[1]} libraries=${facts[2]} python=${facts[3]}
case $python in ../*) say "stage: $1 is not below its own prefix $prefix: it cannot be copied"; exit 1 ;; esac

on_nodes() { # on_nodes PROGRAM...: runs it once on each node
    if [ "$nodes" -eq 1 ]; then "$@"; return; fi
    srun --overlap --mem=0 --mpi=none --nodes="$nodes" --ntasks="$nodes" --ntasks-per-node=1 "$@"
}

# Of the nodes that share the folder one unpacks, and the others wait for it.
# shellcheck disable=SC2016 # expanded on the nodes
unpack='
set -e
if mkdir "$1/unpacking" 2>/dev/null; then
    mkdir "$1/environment"
    tar -C "$1/environment" -xf "$1/$2"
    touch "$1/unpacked"
else
    until [ -e "$1/unpacked" ]; do sleep 0.2; done
fi'

began=$SECONDS archive=environment.tar
staged=''
# shellcheck disable=SC2016,SC2329 # expanded on the nodes; called by the trap
remove_half() { [ -n "$staged" ] || on_nodes bash -c 'rm -rf "$1"/environment "$1"/environment.tar* "$1"/unpack*' remove "$folder"; }
trap remove_half EXIT
copied=("${prefix}")
pack() { tar "$@" 2> >(sed -n 1p >&2); } # one line of many; head would end tar by SIGPIPE
pack -cf "$folder/$archive" -C "$prefix" --exclude=./logs --exclude=./share/man .
if [ ! -e "$prefix/$libraries/hpcmtl" ]; then
    pack -rf "$folder/$archive" -C "$source" --transform="s,^hpcmtl,./$libraries/hpcmtl," hpcmtl
    copied+=("$source/hpcmtl")
fi
if [ "$nodes" -gt 1 ]; then
    sbcast --force "$folder/$archive" "$folder/$archive.node"
    rm -f "$folder/$archive"
    archive=$archive.node
fi
on_nodes timeout 600 bash -c "$unpack" stage "$folder" "$archive"
on_nodes rm -f "$folder/$archive"
staged=1
say "stage: ${copied[*]} copied to $folder/environment on $nodes nodes in $((SECONDS - began)) s"
echo "$folder/environment/$python"

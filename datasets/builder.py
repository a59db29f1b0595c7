"""Common part of the builders: the command line, and keeping a valid file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hpcmtl.data.hdf5 import describe
from hpcmtl.data.values import check_finite
from hpcmtl.errors import ExitCode, InputError

if TYPE_CHECKING:
    from collections.abc import Callable


def main(name: str, build: Callable[[Path], None], package: str, how: str = "pip install") -> int:
    """Builds a data set unless a valid file exists.

    Args:
        name: name of the data set; the file is ``data/<name>.h5`` unless ``--out`` is given.
        build: function that writes the file.
        package: package that provides the raw data, for the message if it is missing.
        how: command that installs it.

    Returns:
        The exit code of the command.
    """
    parser = argparse.ArgumentParser(description=f"Build the data set {name} as an HDF5 file for hpcmtl.")
    parser.add_argument("--out", type=Path, default=Path("data") / f"{name}.h5", help="default: %(default)s")
    out: Path = parser.parse_args().out
    try:
        if out.exists():
            check_finite(out, describe(out).datasets)
            print(f"{out}: already there and valid")
            return ExitCode.COMPLETE
        out.parent.mkdir(parents=True, exist_ok=True)
        build(out)
        sizes = ", ".join(f"{count} {split}" for split, count in describe(out).split_sizes.items())
    except InputError as error:
        print(f"{error}\nIf {out} is in the way, delete it and run this again.", file=sys.stderr)
        return ExitCode.BAD_INPUT
    except ModuleNotFoundError as error:
        print(f"{name} needs the package {package} ({error}); {how} {package}", file=sys.stderr)
        return ExitCode.ENVIRONMENT_UNFIT
    print(f"{out}: {sizes} samples")
    return ExitCode.COMPLETE

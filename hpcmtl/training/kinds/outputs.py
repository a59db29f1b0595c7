"""Arrays that users' callables return, as far as the job file declares them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from hpcmtl.jobfile.arrays import UNKNOWN, ArraySpec
from hpcmtl.training.kinds.schemas import OUTPUT_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.training.kinds.schemas import Output

SPLIT = "split"


def declared_arrays(outputs: Mapping[str, Output]) -> dict[str, ArraySpec]:
    """Returns descriptions of outputs; only the run shows the number of samples, and all that is not declared."""
    return {name: _declared(output) for name, output in outputs.items()}


def output_problems(outputs: Mapping[str, Output]) -> Iterator[Finding]:
    """Yields names that no output can have."""
    if SPLIT in outputs:
        yield ("outputs",), f"{SPLIT!r} is the split of the samples, which a callable may return beside its outputs"


def _declared(output: Output) -> ArraySpec:
    if output.type is None:
        return dataclasses.replace(UNKNOWN, shape=output.shape)
    kind, itemsize = OUTPUT_TYPES[output.type]
    return ArraySpec(None, output.shape, kind=kind, itemsize=itemsize)

"""The pass over the values of an adoption: checksums of blocks and a summary, of all samples or of one share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.data.adopting.joined_checksum import joined_checksum
from hpcmtl.data.array_writer import checksum_of
from hpcmtl.data.contract import rows_per_chunk, value_problem
from hpcmtl.data.missing import declared
from hpcmtl.data.originals import OriginalRows
from hpcmtl.data.value_summary import ValueSummary, empty_summary, joined
from hpcmtl.errors import InputError, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from hpcmtl.data.adopting.plan import AdoptionPlan, ArrayToAdopt
    from hpcmtl.data.originals import Original
    from hpcmtl.data.stages import StageReport


@dataclass(frozen=True, kw_only=True)
class ArraySurvey:
    """Holds what a pass over consecutive blocks of an array shows.

    Attributes:
        checksums: (blocks,) CRC-32 of each block.
        checksum: CRC-32 of all these blocks.
        size: their size, in bytes.
        summary: summary of their values.
        problems: the first value or block that cannot be used; the pass ends there.
    """

    checksums: NDArray[np.uint32]
    checksum: int
    size: int
    summary: ValueSummary
    problems: tuple[Problem, ...] = ()


def survey(plan: AdoptionPlan, share: int, shares: int, report: StageReport) -> dict[str, ArraySurvey]:
    """Reads one share of the values of all arrays, each block once.

    Args:
        plan: the adoption.
        share: number of the share, from 0; a later share has later samples.
        shares: number of all shares.
        report: callback with the share of this pass that is done.

    Returns:
        Name of an array -> what was found.
    """
    spans = {each.name: _span(each, share, shares) for each in plan.arrays}
    total = max(sum(stop - start for start, stop in spans.values()), 1)
    done = 0

    def after_block() -> None:
        nonlocal done
        done += 1
        report("reading", done / total)

    return {each.name: _surveyed(each, plan.originals, spans[each.name], after_block) for each in plan.arrays}


def _span(array: ArrayToAdopt, share: int, shares: int) -> tuple[int, int]:
    """Returns the first block of a share, and the one after its last."""
    blocks = -(-array.shape[0] // rows_per_chunk(array.shape, array.dtype))
    return blocks * share // shares, blocks * (share + 1) // shares


def _surveyed(
    array: ArrayToAdopt, originals: Sequence[Original], span: tuple[int, int], after_block: Callable[[], None]
) -> ArraySurvey:
    rows, step = (
        OriginalRows(originals, array.dataset, array.shape, array.dtype),
        rows_per_chunk(array.shape, array.dtype),
    )
    missing = declared(array.attributes)
    summary = empty_summary(array.dtype, array.shape[1:], missing, float(array.attributes.get("scale", 1.0)))
    checksums, classes = np.zeros(span[1] - span[0], np.uint32), len(array.attributes.get("classes", ()))
    whole, size = 0, 0
    problems: tuple[Problem, ...] = ()
    for number in range(*span):
        start, stop = number * step, min((number + 1) * step, array.shape[0])
        try:
            block = rows.read(start, stop)
        except InputError as error:  # every array reports its problems
            problems = error.problems
            break
        if value_problem(block, np.arange(start, stop), classes, missing):
            problems = tuple(
                Problem(f"{path}: {array.dataset}", wrong)
                for path, first, part in rows.parts(start, stop)
                if (wrong := value_problem(block[part], first + np.arange(len(block[part])), classes, missing))
            )
            break
        checksums[number - span[0]] = own = checksum_of(block)
        whole, size = joined_checksum(whole, own, block.nbytes), size + block.nbytes
        summary.add(block, start)
        after_block()
    rows.close()
    return ArraySurvey(checksums=checksums, checksum=whole, size=size, summary=summary, problems=problems)


def joined_surveys(parts: Sequence[Mapping[str, ArraySurvey]]) -> dict[str, ArraySurvey]:
    """Returns what was found in all samples, from the shares in their order.

    Raises:
        InputError: values that cannot be used; lists the first problem of each array.
    """
    found = {name: _joined([part[name] for part in parts]) for name in parts[0]}
    problems = list(dict.fromkeys(problem for each in found.values() for problem in each.problems))
    if problems:
        raise InputError(problems)
    return found


def _joined(parts: Sequence[ArraySurvey]) -> ArraySurvey:
    first, *others = parts
    checksum, size, summary = first.checksum, first.size, first.summary
    for other in others:
        checksum, size = joined_checksum(checksum, other.checksum, other.size), size + other.size
        summary = joined(summary, other.summary)
    return ArraySurvey(
        checksums=np.concatenate([each.checksums for each in parts]),
        checksum=checksum,
        size=size,
        summary=summary,
        problems=next((each.problems for each in parts if each.problems), ()),
    )

"""An adoption in words and as values, for users."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcmtl.data.chunks import chunk_warning
from hpcmtl.data.sealing.told import one_line

if TYPE_CHECKING:
    from pathlib import Path

    from hpcmtl.data.adopting.plan import AdoptionPlan


def adoption_lines(out: Path, plan: AdoptionPlan) -> list[str]:
    """Returns an adoption as lines of text."""
    sizes = ", ".join(f"{count} {name}" for name, count in plan.split_sizes.items())
    lines = [f"{len(plan.split)} samples: {sizes}"]
    number = len(plan.originals)
    files = "1 file" if number == 1 else f"{number} files"
    lines += [
        f"{each.name}: {each.dtype}, shape {each.shape[1:]}, from {each.dataset} of {files}" for each in plan.arrays
    ]
    for each in plan.arrays:
        warning = chunk_warning(each)
        lines += [f"{each.name}: {warning}; h5repack writes chunks of 1 MiB"] if warning else []
    lines.append(f"{out}: sealed; its values stay in {', '.join(str(each.path) for each in plan.originals[:3])}")
    if len(plan.originals) > 3:
        lines[-1] += f" and {len(plan.originals) - 3} more"
    return [one_line(line) for line in lines]


def adoption_values(out: Path, plan: AdoptionPlan) -> dict[str, Any]:
    """Returns an adoption as JSON values."""
    return {
        "file": str(out),
        "samples": len(plan.split),
        "splits": plan.split_sizes,
        "arrays": {
            each.name: {"dataset": each.dataset, "dtype": str(each.dtype), "shape": list(each.shape[1:])}
            for each in plan.arrays
        },
        "originals": [{"path": str(each.path), "bytes": each.size, "samples": each.rows} for each in plan.originals],
    }

"""Adopts plain HDF5 files: plans by their metadata, reads all values once, and writes the file that jobs name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.data.adopted_array import ARRAYS, ORIGINALS, SPREADS, spreads_of, summary_text
from hpcmtl.data.adopting.options import named_arrays
from hpcmtl.data.adopting.order import AdoptionOrder
from hpcmtl.data.adopting.plan import plan_adoption
from hpcmtl.data.adopting.survey import joined_surveys, survey
from hpcmtl.data.array_writer import ArrayWriter, seal_file
from hpcmtl.data.atomic_file import new_file
from hpcmtl.data.contract import SPLIT
from hpcmtl.data.open_file import ADOPTED_FORMAT
from hpcmtl.data.sealing.recipe import make_recipe
from hpcmtl.data.sealing.rules import Recipe
from hpcmtl.data.streamed_file import require_free
from hpcmtl.errors import InputError, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    import h5py

    from hpcmtl.data.adopting.plan import AdoptionPlan, ArrayToAdopt
    from hpcmtl.data.adopting.survey import ArraySurvey
    from hpcmtl.data.originals import Original
    from hpcmtl.data.stages import StageReport
    from hpcmtl.networks.objective import Missing


def adopt(
    path: str | os.PathLike[str],
    files: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    arrays: Sequence[str] | Mapping[str, str],
    recipe: Recipe | Mapping[str, Any] | None = None,
    *,
    missing: Mapping[str, Missing] | None = None,
    overwrite: bool = False,
) -> AdoptionPlan:
    """Makes plain HDF5 files usable where they lie: `path` gets their split, statistics and checksums.

    Args:
        path: file to create; jobs name it.
        files: a path, a pattern such as ``shard*.h5``, or several of them; the samples count as one array.
        arrays: names of datasets in the files, such as ``x`` or ``entry/x``; or name -> dataset.
        recipe: `split`, `attributes`, and `columns` of the kind ``array`` with scale, classes or units.
        missing: name of an array -> the number, or ``nan``, that stands for a missing value in it.
        overwrite: true to replace a file that exists.

    Returns:
        What is known of the files by their metadata.

    Raises:
        InputError: files, values or the recipe cannot be used; lists all problems, and no file is written.
        OSError: the file system refused; no file is written.
    """
    listed = [files] if isinstance(files, str | os.PathLike) else files
    names = [arrays] if isinstance(arrays, str) else arrays
    given: Any = recipe or {}
    order = AdoptionOrder(
        out=Path(path),
        files=[os.fspath(each) for each in listed],
        arrays=dict(names) if isinstance(names, Mapping) else named_arrays(names),
        recipe=given if isinstance(given, Recipe) else make_recipe(given),
        missing=missing or {},
        overwrite=overwrite,
    )
    return adopt_alone(order, lambda _stage, _done: None)


def adopt_alone(order: AdoptionOrder, report: StageReport) -> AdoptionPlan:
    """Adopts plain HDF5 files in this process alone.

    Args:
        order: the request.
        report: callback with the stage and the share of it that is done.

    Raises:
        InputError: files or values that cannot be used; lists all problems, and no file is written.
        OSError: the file system refused; no file is written.
    """
    require_free(order.out, overwrite=order.overwrite)
    plan = plan_adoption(order, report)
    write_adopted(order.out, plan, joined_surveys([survey(plan, 0, 1, report)]))
    return plan


def write_adopted(out: Path, plan: AdoptionPlan, found: Mapping[str, ArraySurvey]) -> None:
    """Writes the file of an adoption.

    Raises:
        InputError: an original was changed while it was read, or is the file to write; no file is written.
        OSError: the file system refused; no file is written.
    """
    problems = [
        Problem(str(each.path), "was changed while it was adopted; wait for its writer, and adopt it again")
        for each in plan.originals
        if not each.is_untouched
    ]
    if any(out.exists() and each.path.samefile(out) for each in plan.originals):
        problems.append(Problem(str(out), "is one of the files that are adopted; give another name by --to"))
    if problems:
        raise InputError(problems)
    with new_file(out) as file:
        _write_originals(file, out.absolute().parent, plan.originals)
        for array in plan.arrays:
            _write_array(file, array, found[array.name])
        writer = ArrayWriter(file, SPLIT, plan.split.shape, np.dtype(np.uint8), {})
        writer.add(plan.split)
        writer.close()
        seal_file(file, plan.attributes, ADOPTED_FORMAT)


def _write_originals(file: h5py.File, folder: Path, originals: Sequence[Original]) -> None:
    names = [os.fsencode(_relative(each.path, folder)) for each in originals]
    facts: dict[str, Any] = {
        "path": np.array(names, f"S{max(map(len, names))}"),
        "size": np.array([each.size for each in originals], np.int64),
        "modified": np.array([each.modified for each in originals], np.int64),
        "rows": np.array([each.rows for each in originals], np.int64),
    }
    for name, values in facts.items():
        _write_safely(file, f"{ORIGINALS}/{name}", values)


def _relative(path: Path, folder: Path) -> Path:
    """Returns a path relative to a folder that it lies in, so that both can move together; else as it is."""
    return path.relative_to(folder) if path.is_relative_to(folder) else path


def _write_array(file: h5py.File, array: ArrayToAdopt, found: ArraySurvey) -> None:
    stored = _write_safely(file, f"{ARRAYS}/{array.name}", found.checksums)
    attributes = {key: value for key, value in array.attributes.items() if key != "classes"}
    if array.attributes.get("classes"):  # of fixed length, see `ArrayWriter`
        attributes["classes"] = np.array([str(each).encode() for each in array.attributes["classes"]])
    attributes |= {
        "dataset": np.bytes_(array.dataset.encode()),
        "shape": np.array(array.shape, np.int64),
        "dtype": np.bytes_(array.dtype.str.encode()),
        "checksum": np.uint32(found.checksum),
        "elsewhere": np.bool_(array.elsewhere),
        "summary": np.bytes_(summary_text(found.summary).encode()),
    }
    if array.chunks is not None:
        attributes["chunks"] = np.array(array.chunks, np.int64)
    stored.attrs.update(attributes)
    for place, (low, high, rounded) in spreads_of(found.summary, f"{SPREADS}/{array.name}"):
        for name, values in (("low", low), ("high", high), ("rounded", np.asarray(rounded, np.uint8))):
            _write_safely(file, f"{place}/{name}", np.atleast_1d(values))


def _write_safely(file: h5py.File, name: str, values: Any) -> h5py.Dataset:
    """Writes an array whose damage is noticed when it is read."""
    return file.create_dataset(name, data=values, chunks=True, fletcher32=True)

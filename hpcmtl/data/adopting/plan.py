"""The plan of an adoption: files, arrays and split, checked by the metadata before any value is read."""

from __future__ import annotations

import glob
import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from hpcmtl.data.adopted_array import ORIGINALS
from hpcmtl.data.adopting.split_table import SplitTable
from hpcmtl.data.contract import NUMBERS, SPLIT, attribute_problems
from hpcmtl.data.missing import MISSING
from hpcmtl.data.originals import Original, open_plain, original_dataset
from hpcmtl.data.other_files import other_files
from hpcmtl.data.sealing.split_plan import plan_split
from hpcmtl.data.split import SPLIT_CODES, split_sizes
from hpcmtl.errors import InputError, Problem, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from hpcmtl.data.adopting.order import AdoptionOrder
    from hpcmtl.data.sealing.rules import ColumnRule, SplitRule
    from hpcmtl.data.stages import StageReport


@dataclass(frozen=True, kw_only=True)
class ArrayToAdopt:
    """Describes an array that lies in one dataset of each original.

    Attributes:
        name: name by which jobs know it.
        dataset: path of the dataset in the originals.
        shape: (samples, ...) over all originals.
        dtype: type in which values are delivered, in the byte order of this machine.
        chunks: chunks in the first original; None without.
        elsewhere: true if an original has its values in other files, whose changes its own size and time do not show.
        attributes: classes, scale, units and missing, as of a dataset in a sealed file.
    """

    name: str
    dataset: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: tuple[int, ...] | None
    elsewhere: bool
    attributes: Mapping[str, Any]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)


@dataclass(frozen=True, kw_only=True)
class AdoptionPlan:
    """Holds all that is known of an adoption before the values are read.

    Attributes:
        originals: the files, in the order of their rows.
        arrays: the arrays.
        split: (samples,) 0 train, 1 val, 2 test.
        attributes: attributes of the file, such as source and licence.
    """

    originals: tuple[Original, ...]
    arrays: tuple[ArrayToAdopt, ...]
    split: NDArray[np.uint8]
    attributes: Mapping[str, Any]

    @property
    def split_sizes(self) -> dict[str, int]:
        """Number of samples in train, val and test."""
        return split_sizes(self.split)


def plan_adoption(order: AdoptionOrder, report: StageReport) -> AdoptionPlan:
    """Reads the metadata of files, and the column of their split if it has one.

    Args:
        order: the request.
        report: callback with the stage and the share of it that is done.

    Raises:
        InputError: files or arrays that cannot be adopted; lists all problems.
    """
    arrays, recipe, paths = order.arrays, order.recipe, expanded(order.files)
    rules = _array_rules(order)
    found: list[_LookedAt] = []
    problems: list[Problem] = []
    for number, path in enumerate(paths):
        try:
            found.append(_looked_at(path, arrays))
        except InputError as error:  # every file reports its problems
            problems += error.problems
        report("looking at the files", (number + 1) / len(paths))
    if not problems:
        problems += _disagreements(found)
    if problems:
        raise InputError(problems)
    made = tuple(_array(name, order, found, rules.get(name)) for name in arrays)
    problems = [problem for each in made for problem in _own_problems(found[0].original.path, each)]
    if problems:
        raise InputError(problems)
    originals = tuple(each.original for each in found)
    split = _split(recipe.split, arrays, originals, report)
    return AdoptionPlan(originals=originals, arrays=made, split=split, attributes=recipe.attributes)


def expanded(files: Sequence[str]) -> list[Path]:
    """Returns the files of paths and patterns in natural order, as absolute paths.

    Raises:
        InputError: a pattern fits no file, or a file is named twice.
    """
    found: list[Path] = []
    problems = []
    for each in files:
        fitting = [each] if Path(each).exists() else sorted(glob.glob(each, recursive=True))  # noqa: PTH207 - absolute
        found += map(Path.absolute, map(Path, fitting))
        problems += [] if fitting else [Problem(each, "fits no file; give paths, or a pattern in quotes")]
    twice = sorted(str(path) for path, times in Counter(map(Path.resolve, found)).items() if times > 1)
    problems += [Problem(path, "is named twice; its samples would count twice") for path in twice]
    if problems:
        raise InputError(problems)
    return sorted(found, key=_natural)


def _natural(path: Path) -> list[tuple[int, int, str]]:
    """Returns a key that puts file2 before file10."""
    parts = re.split(r"(\d+)", str(path))
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]


@dataclass(frozen=True, kw_only=True)
class _LookedAt:
    """Holds what the metadata of one file say: its identity, the facts of each array, and the arrays of other files."""

    original: Original
    shapes: Mapping[str, tuple[int, ...]]
    dtypes: Mapping[str, np.dtype[Any]]
    chunks: Mapping[str, tuple[int, ...] | None]
    elsewhere: frozenset[str]


def _looked_at(path: Path, arrays: Mapping[str, str]) -> _LookedAt:
    problems: list[Problem] = []
    found, elsewhere = {}, set()
    with open_plain(path, locking="best-effort") as file:
        if ORIGINALS in file:
            raise InputError([Problem(str(path), "is an adopted file itself; adopt the files that it names")])
        for name, dataset in arrays.items():
            try:
                item = original_dataset(file, path, dataset)
            except InputError as error:  # every dataset reports its problems
                problems += error.problems
                continue
            wrong = _unfit(item)
            problems += [Problem(f"{path}: {dataset}", wrong)] if wrong else []
            found[name] = tuple(item.shape or ()), item.dtype, item.chunks
            elsewhere |= {name} if other_files(file, item) else set()
    if problems:
        raise InputError(problems)
    lengths = {arrays[name]: shape[0] for name, (shape, _, _) in found.items()}
    if len(set(lengths.values())) > 1:
        text = ", ".join(f"{dataset} {length}" for dataset, length in lengths.items())
        raise InputError([Problem(str(path), f"datasets of different lengths: {text}; the first axis counts samples")])
    state = path.stat()
    rows = next(iter(lengths.values()))
    return _LookedAt(
        original=Original(path=path, size=state.st_size, modified=state.st_mtime_ns, rows=rows),
        shapes={name: shape for name, (shape, _, _) in found.items()},
        dtypes={name: np.dtype(dtype.newbyteorder("=").str) for name, (_, dtype, _) in found.items()},
        chunks={name: chunks for name, (_, _, chunks) in found.items()},
        elsewhere=frozenset(elsewhere),
    )


def _unfit(dataset: h5py.Dataset) -> str:
    """Returns why a dataset cannot be adopted; empty if it can."""
    dtype, sealing = dataset.dtype, "`hpcmtl data seal` converts"
    if h5py.check_string_dtype(dtype) is not None:
        return f"holds text; integers and floats can be adopted, and {sealing} text"
    if dtype.names is not None:
        return f"holds records of {', '.join(dtype.names)}; write each field as a dataset of its own"
    if dtype.kind not in NUMBERS or dtype.itemsize > 8:
        return f"holds values of type {dtype}; integers and floats of up to 64 bits can be adopted, {sealing} others"
    if dataset.shape is None or not dataset.shape:
        return "is one value; the first axis counts samples, so an array is needed"
    if 0 in dataset.shape[1:]:
        return f"has the shape {dataset.shape}, in which a sample has no value"
    return ""


def _disagreements(found: Sequence[_LookedAt]) -> list[Problem]:
    """Returns the files whose samples have another shape or type than those of the first."""
    first, problems = found[0], []
    for other in found[1:]:
        for name, shape in other.shapes.items():
            where = f"{other.original.path}: {name}"
            if shape[1:] != first.shapes[name][1:]:
                text = f"samples of shape {shape[1:]}, but {first.original.path} has {first.shapes[name][1:]}"
                problems.append(Problem(where, f"{text}; adopt files of one shape together"))
            elif other.dtypes[name] != first.dtypes[name]:
                text = f"values of type {other.dtypes[name]}, but {first.original.path} has {first.dtypes[name]}"
                problems.append(Problem(where, f"{text}; adopt files of one type together"))
    if not sum(each.original.rows for each in found):
        problems.append(Problem(", ".join(str(each.original.path) for each in found), "has no sample"))
    return problems


def _array_rules(order: AdoptionOrder) -> Mapping[str, ColumnRule]:
    arrays, rules = order.arrays, order.recipe.columns
    problems = [
        Problem(f"array {name!r}", f"cannot have this name; write NAME=DATASET, NAME not {SPLIT!r}")
        for name in arrays
        if name in {SPLIT, "", "."} or "/" in name
    ]
    for name, rule in rules.items():
        if name not in arrays:
            problems.append(Problem(f"--column {name}", f"is not adopted{nearest(name, arrays)}"))
        elif rule.kind != "array" or rule.missing != "refuse":
            text = "values stay as they are: only array, with scale, classes and units, is possible"
            remedy = "`--missing NAME=VALUE` declares missing ones, `hpcmtl data seal` makes a file of other kinds"
            problems.append(Problem(f"--column {name}", f"{text}; {remedy}"))
    problems += [
        Problem(f"--missing {name}", f"is not adopted{nearest(name, arrays)}")
        for name in order.missing
        if name not in arrays
    ]
    if not arrays:
        problems.append(Problem("--inputs", "no array is named; give the names of datasets"))
    if problems:
        raise InputError(problems)
    return rules


def _array(name: str, order: AdoptionOrder, found: Sequence[_LookedAt], rule: ColumnRule | None) -> ArrayToAdopt:
    first, rows = found[0], sum(each.original.rows for each in found)
    given = {} if rule is None else {"classes": rule.classes, "scale": rule.scale, "units": rule.units}
    if name in order.missing:
        given[MISSING] = float(order.missing[name])
    return ArrayToAdopt(
        name=name,
        dataset=order.arrays[name],
        shape=(rows, *first.shapes[name][1:]),
        dtype=first.dtypes[name],
        chunks=first.chunks[name],
        elsewhere=any(name in each.elsewhere for each in found),
        attributes={key: value for key, value in given.items() if value is not None},
    )


def _own_problems(path: Path, array: ArrayToAdopt) -> list[Problem]:
    shaped: Any = {array.name: array}
    return attribute_problems(path, shaped, {array.name: array.attributes})


def _split(
    rule: SplitRule, arrays: Mapping[str, str], originals: Sequence[Original], report: StageReport
) -> NDArray[np.uint8]:
    """Returns the split of all samples.

    Raises:
        InputError: the column cannot be used, or no sample is in the train split.
    """
    table = SplitTable(originals)
    column = None if rule.column is None else arrays.get(rule.column, rule.column)
    splitter = plan_split(replace(rule, column=column), table, lambda done: report("split", done))
    codes = [splitter(block) for block in table.blocks([column] if rule.by == "column" and column else [])]
    split: NDArray[np.uint8] = np.concatenate(codes)
    if not (split == SPLIT_CODES["train"]).any():
        message = f"none of {len(split)} samples is in the train split; give it a larger share"
        raise InputError([Problem(f"{table.where}: split", message)])
    return split

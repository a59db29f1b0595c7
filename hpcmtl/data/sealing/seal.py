"""Makes a sealed file from a table: a pass for the split if it needs one, a pass for statistics, a pass that writes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.data.sealing.array_tables import ArrayFile, ArrayTable
from hpcmtl.data.sealing.arrow_tables import TypesWidenedError
from hpcmtl.data.sealing.given_tables import SpooledRows, is_frame
from hpcmtl.data.sealing.guessing import complete_rules
from hpcmtl.data.sealing.layout import encode_block, make_encoders, planned_outputs
from hpcmtl.data.sealing.recipe import make_recipe
from hpcmtl.data.sealing.rules import Recipe
from hpcmtl.data.sealing.source import source_of
from hpcmtl.data.sealing.split_plan import plan_split
from hpcmtl.data.split import SPLIT_CODES, split_sizes
from hpcmtl.data.streamed_file import require_free, write_blocks
from hpcmtl.errors import InputError, Problem

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from hpcmtl.data.sealing.cells import TableBlock, TableSource
    from hpcmtl.data.sealing.encoder import ColumnEncoder, OutputArray
    from hpcmtl.data.sealing.rules import ColumnRule
    from hpcmtl.data.sequences import SampleRows
    from hpcmtl.data.stages import StageReport


@dataclass(frozen=True, kw_only=True)
class SealPlan:
    """Holds all that was learned about a table before it is written.

    Attributes:
        source: the table.
        recipe: the recipe.
        rules: rule of each column, those that are skipped included.
        encoders: encoders of the columns, with their statistics.
        outputs: datasets of the file.
        split: (rows,) split of each row.
        problems: cells that cannot be stored as the rules say; a plan with problems is shown and not written.
    """

    source: TableSource
    recipe: Recipe
    rules: Mapping[str, ColumnRule]
    encoders: list[ColumnEncoder]
    outputs: Mapping[str, OutputArray]
    split: NDArray[np.uint8]
    problems: tuple[Problem, ...] = ()

    @property
    def split_sizes(self) -> dict[str, int]:
        """Number of rows in train, val and test."""
        return split_sizes(self.split)

    def require_sound(self) -> None:
        """Refuses a plan with problems.

        Raises:
            InputError: all problems at once.
        """
        if self.problems:
            raise InputError(self.problems)


def seal(
    path: str | os.PathLike[str],
    data: Any,
    recipe: Recipe | Mapping[str, Any] | None = None,
    *,
    overwrite: bool = False,
    report: StageReport | None = None,
) -> SealPlan:
    """Writes a sealed file from a table, arrays, images or text.

    Args:
        path: file to create.
        data: path of a file or folder, a frame of pandas, a mapping of arrays, or an iterable of mappings: of cells
            (one for each row) or of arrays (one for each block of rows).
        recipe: rules of columns, targets and the split; with the keys of a columns file. What is left out is guessed.
        overwrite: true to replace a file that exists.
        report: callback with the name of the pass and the share of it that is done.

    Returns:
        What was learned about the table.

    Raises:
        InputError: the data or the recipe cannot be used; lists all problems, and no file is written.
        EnvironmentUnfitError: pyarrow or Pillow is needed and not installed.
    """
    place, say = Path(path), report or _silent
    require_free(place, overwrite=overwrite)
    plan = plan_seal(data, recipe, report=say)
    plan.require_sound()
    _write(place, plan, overwrite=overwrite, report=say)
    return plan


def _silent(stage: str, done: float) -> None:
    """Reports nothing."""


def plan_seal(
    data: Any, recipe: Recipe | Mapping[str, Any] | None = None, *, report: StageReport = _silent
) -> SealPlan:
    """Reads a table as `seal` does, and writes nothing; cells that cannot be stored are `SealPlan.problems`.

    Raises:
        InputError: the data cannot be read as a table, or no rows of it can be trained on.
    """
    made = recipe if isinstance(recipe, Recipe) else make_recipe(recipe or {})
    source = source_of(data, made)
    while True:
        try:
            return _planned(source, made, report, are_arrays=_are_arrays(source, data))
        except TypesWidenedError:  # each widens the type of one column, so this ends
            continue


def _are_arrays(source: TableSource, data: Any) -> bool:
    """Returns true for data whose columns are arrays of their own, and no table."""
    if isinstance(source, SpooledRows):
        return source.has_blocks
    return isinstance(source, ArrayFile | ArrayTable) and not is_frame(data)


def _planned(source: TableSource, recipe: Recipe, report: StageReport, *, are_arrays: bool) -> SealPlan:
    first = _first_block(source)
    rules = complete_rules(source, first, recipe, are_arrays=are_arrays)
    encoders = make_encoders(source.where, source.folder, rules)
    if not encoders:
        raise InputError(
            [Problem(source.where, "has no column that is stored; give at least one a kind other than skip")]
        )
    splitter = plan_split(recipe.split, source, lambda done: report("split", done))
    codes = []
    names = _needed(encoders, recipe, first)
    for block in source.blocks(names):
        split = splitter(block)
        codes.append(split)
        for encoder in encoders:
            encoder.see(block.columns[encoder.name], split == SPLIT_CODES["train"], block.start)
        report("statistics", block.done)
    split = np.concatenate(codes)
    if not (split == SPLIT_CODES["train"]).any():
        message = f"none of {len(split)} rows is in the train split; give it a larger share"
        raise InputError([Problem(f"{source.where}: split", message), *_found_in(encoders)])
    for encoder in encoders:
        encoder.fix()
    problems = _found_in(encoders)
    outputs = {} if problems else planned_outputs(source.where, encoders)
    return SealPlan(
        source=source, recipe=recipe, rules=rules, encoders=encoders, outputs=outputs, split=split, problems=problems
    )


def _found_in(encoders: list[ColumnEncoder]) -> tuple[Problem, ...]:
    return tuple(problem for encoder in encoders for problem in encoder.findings.problems())


def _first_block(source: TableSource) -> TableBlock:
    for block in source.blocks():
        if block.rows:
            return block
    raise InputError([Problem(source.where, "has no row")])


def _needed(encoders: list[ColumnEncoder], recipe: Recipe, first: TableBlock) -> list[str]:
    """Returns the columns that the passes read, in the order of the table."""
    names = {encoder.name for encoder in encoders}
    if recipe.split.by == "column":
        names.add(str(recipe.split.column))
    return [name for name in first.columns if name in names]


def _write(path: Path, plan: SealPlan, *, overwrite: bool, report: StageReport) -> None:
    attributes = {"source": f"{plan.source.where}", **plan.recipe.attributes}
    write_blocks(path, plan.outputs, plan.split, _encoded(plan, report), attributes, overwrite=overwrite)


def _encoded(plan: SealPlan, report: StageReport) -> Iterator[Mapping[str, SampleRows]]:
    """Yields the rows of all datasets, block by block.

    Raises:
        InputError: the table has changed since its statistics were made.
    """
    rows = 0
    for block in plan.source.blocks([name for name in plan.rules if plan.rules[name].kind != "skip"]):
        rows += block.rows
        if rows > len(plan.split):
            break
        yield encode_block(block, plan.encoders, plan.outputs)
        report("writing", block.done)
    problems = [*_found_in(plan.encoders)]
    if rows != len(plan.split):
        message = (
            f"has other rows than at the first reading ({len(plan.split)}); it was changed meanwhile, seal it again"
        )
        problems.append(Problem(plan.source.where, message))
    if problems:
        raise InputError(problems)

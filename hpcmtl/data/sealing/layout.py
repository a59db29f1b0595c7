"""The datasets of a sealed file: encoders of columns, and the columns that stand side by side in one dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.data.sealing.array_encoder import ArrayEncoder
from hpcmtl.data.sealing.category_encoder import CategoryEncoder
from hpcmtl.data.sealing.encoder import OutputArray
from hpcmtl.data.sealing.image_encoder import ImageEncoder
from hpcmtl.data.sealing.number_encoder import NumberEncoder
from hpcmtl.data.sealing.sequence_encoder import SequenceEncoder
from hpcmtl.data.sealing.token_encoder import TokenEncoder
from hpcmtl.data.sequences import LENGTH
from hpcmtl.errors import InputError, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from hpcmtl.arrays import Arrays
    from hpcmtl.data.sealing.cells import TableBlock
    from hpcmtl.data.sealing.encoder import ColumnEncoder
    from hpcmtl.data.sealing.rules import ColumnRule
    from hpcmtl.data.sequences import SampleRows


def make_encoders(where: str, folder: Path, rules: Mapping[str, ColumnRule]) -> list[ColumnEncoder]:
    """Returns an encoder for each column that is not skipped."""
    made: list[ColumnEncoder] = []
    for name, rule in rules.items():
        if rule.kind in {"numeric", "date"}:
            made.append(NumberEncoder(where, name, rule))
        elif rule.kind in {"categorical", "one_hot"}:
            made.append(CategoryEncoder(where, name, rule))
        elif rule.kind == "tokens":
            made.append(TokenEncoder(where, name, rule))
        elif rule.kind == "image":
            made.append(ImageEncoder(where, name, rule, folder))
        elif rule.kind == "array":
            made.append(ArrayEncoder(where, name, rule))
        elif rule.kind == "sequence":
            made.append(SequenceEncoder(where, name, rule))
    return made


def planned_outputs(where: str, encoders: Sequence[ColumnEncoder]) -> dict[str, OutputArray]:
    """Returns all datasets of the file.

    Raises:
        InputError: two datasets have one name.
    """
    outputs: dict[str, OutputArray] = {}
    problems = []
    for name, members in _groups(encoders).items():
        outputs[name] = _grouped(members)
    for encoder in encoders:
        for name, output in encoder.outputs().items():
            if encoder.rule.dataset is not None and name == encoder.name:
                continue
            if name in outputs:
                message = f"makes a dataset {name!r}, which another column makes as well; rename one of them"
                problems.append(Problem(f"{where}: column {encoder.name!r}", message))
            if "/" in name or name in {"", ".", "split"}:
                problems.append(
                    Problem(f"{where}: column {encoder.name!r}", "cannot name a dataset; rename the column")
                )
            outputs[name] = output
    problems += [
        Problem(f"{where}: column {name!r}", f"makes a ragged dataset, whose lengths are {name}{LENGTH}; rename one")
        for name, output in outputs.items()
        if output.ragged and name + LENGTH in outputs
    ]
    if problems:
        raise InputError(problems)
    return outputs


def _groups(encoders: Sequence[ColumnEncoder]) -> dict[str, list[ColumnEncoder]]:
    groups: dict[str, list[ColumnEncoder]] = {}
    for encoder in encoders:
        if encoder.rule.dataset is not None:
            groups.setdefault(encoder.rule.dataset, []).append(encoder)
    return groups


def _width(output: OutputArray) -> int:
    return output.shape[0] if output.shape else 1


def _grouped(members: Sequence[ColumnEncoder]) -> OutputArray:
    """Returns the dataset of columns side by side; `mean` and `deviation` undo all of it, with 0 and 1 elsewhere."""
    names: list[str] = []
    means: list[float] = []
    deviations: list[float] = []
    for member in members:
        output = member.outputs()[member.name]
        names += output.attributes.get("columns", [member.name])
        means += [output.attributes.get("mean", 0.0)] * _width(output)
        deviations += [output.attributes.get("deviation", 1.0)] * _width(output)
    attributes: dict[str, Any] = {"columns": names}
    if any(member.rule.standardise for member in members):
        attributes.update(mean=np.array(means), deviation=np.array(deviations))
    return OutputArray(shape=(len(names),), dtype=np.dtype(np.float32), attributes=attributes)


def encode_block(
    block: TableBlock, encoders: Sequence[ColumnEncoder], outputs: Mapping[str, OutputArray]
) -> dict[str, SampleRows]:
    """Returns the rows of all datasets for a block of the table."""
    grouped: Arrays = {}
    arrays: dict[str, SampleRows] = {}
    place: dict[str, int] = {}
    for encoder in encoders:
        made = dict(encoder.encode(block.columns[encoder.name], block.start))
        group = encoder.rule.dataset
        if group is not None:
            values = np.asarray(made.pop(encoder.name))
            if group not in grouped:
                arrays[group] = grouped[group] = np.empty((block.rows, *outputs[group].shape), np.float32)
            start = place.get(group, 0)
            stop = start + (values.shape[1] if values.ndim > 1 else 1)
            grouped[group][:, start:stop] = values.reshape(block.rows, -1)
            place[group] = stop
        arrays.update(made)
    return arrays

"""Options of the command `data seal` as a recipe; they go before the columns file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from hpcmtl.data.sealing.recipe import SPLITS
from hpcmtl.errors import InputError, Problem, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True)
class SealOptions:
    """Holds the options as they were given.

    Attributes:
        columns: texts of the form NAME=KIND or NAME=KIND,KEY=VALUE,...
        targets: names of columns.
        split: text of the form hash, stratified:COLUMN, grouped:COLUMN, time:COLUMN, folds:FOLDS/FOLD or column:COLUMN.
        fractions: text of three numbers with commas.
        seed: seed of the split.
        attributes: texts of the form KEY=VALUE.
    """

    columns: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    split: str | None = None
    fractions: str | None = None
    seed: int | None = None
    attributes: tuple[str, ...] = ()


def with_options(recipe: Mapping[str, Any], options: SealOptions) -> dict[str, Any]:
    """Returns the values of a recipe with those of the options in their place.

    Raises:
        InputError: an option has another form; lists all problems.
    """
    problems: list[Problem] = []
    values = dict(recipe)
    columns = [_column(text, problems) for text in options.columns]
    if columns:
        given = values.get("columns")
        values["columns"] = {**(given if isinstance(given, dict) else {}), **dict(columns)}
    if options.targets:
        given = values.get("targets")
        values["targets"] = [*(given if isinstance(given, list) else []), *options.targets]
    if options.split is not None:
        values["split"] = _split(options.split, problems)
    if options.fractions is not None:
        _in_split(values, "fractions", _numbers(options.fractions, problems))
    if options.seed is not None:
        _in_split(values, "seed", options.seed)
    attributes = [_pair("--attribute", text, problems) for text in options.attributes]
    if attributes:
        given = values.get("attributes")
        values["attributes"] = {**(given if isinstance(given, dict) else {}), **dict(attributes)}
    if problems:
        raise InputError(problems)
    return values


def _in_split(values: dict[str, Any], key: str, value: Any) -> None:
    split = values.get("split") or {}
    split = {"by": split} if isinstance(split, str) else split
    values["split"] = {**split, key: value} if isinstance(split, dict) else split


def _column(text: str, problems: list[Problem]) -> tuple[str, dict[str, Any]]:
    """Returns name and rule of a column, such as ``price=numeric,standardise=false``."""
    name, equals, rest = text.partition("=")
    kind, *others = _parts(rest)
    if not equals or not name or not kind:
        problems.append(Problem(f"--column {text}", "write NAME=KIND or NAME=KIND,KEY=VALUE, e.g. price=numeric"))
    rule: dict[str, Any] = {"kind": kind}
    for other in others:
        key, value = _pair(f"--column {text}", other, problems)
        try:
            rule[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            rule[key] = value
    return name, rule


def _parts(text: str) -> list[str]:
    """Cuts a text at its commas, but not inside brackets."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "[{") - (character in "]}")
        if character == "," and depth <= 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _pair(option: str, text: str, problems: list[Problem]) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        problems.append(Problem(option, f"found {text!r}; write KEY=VALUE"))
    return key, value


def _split(text: str, problems: list[Problem]) -> dict[str, Any]:
    by, _, rest = text.partition(":")
    if by not in SPLITS:
        problems.append(Problem("--split", f"found {text!r}{nearest(by, SPLITS)}"))
        return {}
    if by == "folds":
        folds, slash, fold = rest.partition("/")
        if not slash or not folds.isdecimal() or not fold.isdecimal():
            problems.append(Problem("--split", f"found {text!r}; write folds:FOLDS/FOLD, e.g. folds:5/0"))
            return {}
        return {"by": by, "folds": int(folds), "fold": int(fold)}
    if ("column" in SPLITS[by]) != bool(rest):
        form = f"{by}:COLUMN" if "column" in SPLITS[by] else by
        problems.append(Problem("--split", f"found {text!r}; write {form}"))
        return {}
    return {"by": by, "column": rest} if rest else {"by": by}


def _numbers(text: str, problems: list[Problem]) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        problems.append(Problem("--fractions", f"found {text!r}; write three numbers, e.g. 0.8,0.1,0.1"))
        return [0.8, 0.1, 0.1]

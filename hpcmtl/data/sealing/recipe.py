"""Reading of recipes: from mappings, YAML files and options of the command; all problems are reported at once."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from hpcmtl.data.sealing.rules import GROUPABLE, INPUTS, LONGEST, VARIABLE, ColumnRule, Recipe, SplitRule
from hpcmtl.errors import InputError, Problem, nearest
from hpcmtl.jobfile.read import read_yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

_SHARED = frozenset({"missing", "value", "units"})
KEYS = {
    "numeric": _SHARED | {"dataset", "standardise"},
    "date": _SHARED | {"dataset", "standardise", "unit", "format"},
    "one_hot": _SHARED | {"dataset", "classes", "unknown"},
    "categorical": _SHARED | {"classes", "unknown"},
    "tokens": _SHARED | {"by", "length", "longer", "vocabulary", "lower"},
    "image": {"size", "mode", "missing"},
    "array": _SHARED | {"scale", "classes"},
    "sequence": {"scale", "classes", "units"},
    "skip": frozenset(),
}
"""Kind of a column -> the keys that its rule may have."""
SPLITS = {
    "hash": {"fractions", "seed"},
    "stratified": {"column", "fractions", "seed"},
    "grouped": {"column", "fractions", "seed"},
    "time": {"column", "fractions"},
    "folds": {"folds", "fold", "val_fold", "seed"},
    "column": {"column"},
}
"""Kind of a split -> the keys that it may have."""
_TOP = {each.name for each in fields(Recipe)}


def _is_whole(value: Any, least: int, most: float = math.inf) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_fractions(value: Any) -> bool:
    numbers = isinstance(value, list | tuple) and len(value) == 3 and all(map(_is_number, value))
    return numbers and min(value) >= 0 and value[0] > 0 and math.isclose(sum(value), 1.0, abs_tol=1e-9)


def _is_names(value: Any) -> bool:
    texts = isinstance(value, list | tuple) and all(isinstance(each, str | int | float) for each in value)
    return texts and 0 < len(value) == len(set(map(str, value)))


def _one_of(*words: str) -> tuple[Callable[[Any], bool], str]:
    return (lambda value: value in words if isinstance(value, str) else False), f"write {' or '.join(words)}"


_TEXT = (lambda value: isinstance(value, str) and value != ""), "write a text"
_FLAG = (lambda value: isinstance(value, bool)), "write true or false"
_NAME = (lambda value: isinstance(value, str) and value not in {"", ".", "split"} and "/" not in value), "write a name"
_CLASSES = _is_names, "write a list of names, each once"
_CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "dataset": _NAME,
    "standardise": _FLAG,
    "missing": _one_of("refuse", "mean", "value", "mask"),
    "value": ((lambda value: isinstance(value, str) or _is_number(value)), "write a number or a text"),
    "classes": _CLASSES,
    "unknown": _one_of("refuse", "code"),
    "unit": _one_of("days", "seconds"),
    "format": _TEXT,
    "by": _one_of("words", "characters"),
    "length": (
        (lambda value: value == VARIABLE or _is_whole(value, 1, LONGEST)),
        f"write a whole number from 1 to {LONGEST}, or {VARIABLE}",
    ),
    "longer": _one_of("refuse", "cut"),
    "vocabulary": ((lambda value: _is_whole(value, 1, 3998)), "write a whole number from 1 to 3998"),
    "lower": _FLAG,
    "size": (
        (
            lambda value: (
                isinstance(value, list | tuple) and len(value) == 2 and all(_is_whole(n, 1, 65535) for n in value)
            )
        ),
        "write [height, width]",
    ),
    "mode": _one_of("grey", "rgb"),
    "scale": ((lambda value: _is_number(value) and value != 0), "write a number other than 0"),
    "units": _TEXT,
    "column": _TEXT,
    "fractions": (
        _is_fractions,
        "write the shares of train, val and test: three numbers whose sum is 1, train above 0",
    ),
    "seed": ((lambda value: _is_whole(value, 0)), "write a whole number from 0"),
    "folds": ((lambda value: _is_whole(value, 2, 1000)), "write a whole number from 2"),
    "fold": ((lambda value: _is_whole(value, 0)), "write the number of a fold, from 0"),
    "val_fold": ((lambda value: _is_whole(value, 0)), "write the number of a fold, from 0"),
}
"""Key -> what its values have to be, as a test and in words."""


def read_recipe(path: Path) -> dict[str, Any]:
    """Returns the content of a YAML file of rules.

    Raises:
        InputError: the file cannot be read, or is no mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError([Problem(str(path), f"cannot be read ({error}); give a YAML file of rules")]) from error
    values = read_yaml(str(path), text)
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InputError([Problem(str(path), f"holds {type(values).__name__}; write keys such as columns: and split:")])
    return values


def make_recipe(values: Mapping[str, Any], where: str = "recipe") -> Recipe:
    """Returns the recipe that a mapping describes, as read from YAML.

    Raises:
        InputError: unknown keys or wrong values; lists all problems.
    """
    problems = [Problem(f"{where}: {key}", f"is no key{nearest(str(key), _TOP)}") for key in values if key not in _TOP]
    targets = values.get("targets") or ()
    if not isinstance(targets, list | tuple) or not all(isinstance(each, str) for each in targets):
        problems.append(Problem(f"{where}: targets", f"found {targets!r}; write a list of columns"))
        targets = ()
    columns = _mapping(f"{where}: columns", values.get("columns"), problems)
    rules = {
        str(name): _column_rule(f"{where}: columns.{name}", rule, str(name) in targets, problems)
        for name, rule in columns.items()
    }
    split = _split_rule(f"{where}: split", values.get("split"), problems)
    attributes = _mapping(f"{where}: attributes", values.get("attributes"), problems)
    problems += _problems_of_texts(where, values, attributes)
    if problems:
        raise InputError(problems)
    texts = values.get("missing_values")
    return Recipe(
        columns=rules,
        targets=tuple(targets),
        split=split,
        attributes=attributes,
        missing_values=None if texts is None else tuple(texts),
        delimiter=values.get("delimiter"),
    )


def _problems_of_texts(where: str, values: Mapping[str, Any], attributes: Mapping[Any, Any]) -> Iterator[Problem]:
    texts, delimiter = values.get("missing_values"), values.get("delimiter")
    if texts is not None and not (isinstance(texts, list | tuple) and all(isinstance(each, str) for each in texts)):
        yield Problem(f"{where}: missing_values", f"found {texts!r}; write a list of texts, in quotes")
    if delimiter is not None and (
        not isinstance(delimiter, str) or len(delimiter) != 1 or not delimiter.isascii() or delimiter in '\r\n"\0'
    ):
        yield Problem(f"{where}: delimiter", f"found {delimiter!r}; write one character")
    for key, value in attributes.items():
        if not isinstance(key, str) or not (isinstance(value, str) or _is_number(value)):
            yield Problem(f"{where}: attributes.{key}", f"found {value!r}; write a text or a number")


def _mapping(where: str, value: Any, problems: list[Problem]) -> Mapping[Any, Any]:
    if value is None or isinstance(value, dict):
        return value or {}
    problems.append(Problem(where, f"found {value!r}; write a mapping"))
    return {}


def _column_rule(where: str, given: Any, is_target: bool, problems: list[Problem]) -> ColumnRule:
    """Returns the rule of one column; a word alone is its kind."""
    values = {"kind": given} if isinstance(given, str) else _mapping(where, given, problems)
    kind = values.get("kind")
    if not isinstance(kind, str) or kind not in KEYS:
        known = nearest(str(kind), KEYS) if kind is not None else f"; write kind: {', '.join(KEYS)}"
        problems.append(Problem(f"{where}.kind", f"found {kind!r}{known}"))
        return ColumnRule(kind="skip")
    chosen = _checked(where, values, KEYS[kind] | {"kind"}, problems)
    missing = chosen.get("missing", "refuse")
    if missing == "mean" and kind not in {"numeric", "date"}:
        problems.append(Problem(f"{where}.missing", f"a column of kind {kind} has no mean; write value or mask"))
    if (missing == "value") != ("value" in chosen):
        problems.append(Problem(where, "`missing: value` and `value: ...` go together; write both or none"))
    if kind in GROUPABLE and "dataset" not in chosen and not is_target:
        chosen["dataset"] = INPUTS
    if kind in {"numeric", "date"}:
        chosen.setdefault("standardise", not is_target)
    if "classes" in chosen:
        chosen["classes"] = tuple(map(str, chosen["classes"]))
    if "size" in chosen:
        chosen["size"] = tuple(chosen["size"])
    return ColumnRule(**chosen)


def _split_rule(where: str, given: Any, problems: list[Problem]) -> SplitRule:
    values = {"by": given} if isinstance(given, str) else _mapping(where, given, problems)
    by = values.get("by", "hash")
    if not isinstance(by, str) or by not in SPLITS:
        problems.append(Problem(f"{where}.by", f"found {by!r}{nearest(str(by), SPLITS)}"))
        return SplitRule()
    others = {key: value for key, value in values.items() if key != "by"}
    chosen = {"by": by, **_checked(where, others, SPLITS[by], problems)}
    if "column" in SPLITS[by] and "column" not in values:
        problems.append(Problem(f"{where}.column", f"is missing; write the column by which rows are {by}"))
    rule = SplitRule(**{**chosen, "fractions": tuple(chosen.get("fractions", SplitRule.fractions))})
    if by == "folds":
        problems += [
            Problem(f"{where}.{key}", f"found {number}; folds are 0 to {rule.folds - 1}")
            for key, number in (("fold", rule.fold), ("val_fold", rule.val_fold))
            if number is not None and number >= rule.folds
        ]
        if rule.val_fold == rule.fold:
            problems.append(Problem(f"{where}.val_fold", f"found {rule.val_fold}, which is the test split already"))
    return rule


def _checked(where: str, values: Mapping[Any, Any], keys: Any, problems: list[Problem]) -> dict[str, Any]:
    """Returns the sound entries of a mapping, and adds the problems of the others."""
    chosen = {}
    for key, value in values.items():
        if key not in keys:
            problems.append(Problem(f"{where}.{key}", f"is no key here{nearest(str(key), keys)}"))
        elif key in _CHECKS and not _CHECKS[key][0](value):
            problems.append(Problem(f"{where}.{key}", f"found {value!r}; {_CHECKS[key][1]}"))
        else:
            chosen[key] = value
    return chosen

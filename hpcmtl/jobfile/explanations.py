"""Explains the errors of pydantic in terms of the job file: the key, the value found, and what to write instead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from hpcmtl.errors import close_to, nearest
from hpcmtl.jobfile.inputs import ALONE, BY_NAME
from hpcmtl.jobfile.resolve import colon_form
from hpcmtl.jobfile.schema import BAD_KIND, Job
from hpcmtl.jobfile.schema_sections import holds, home_of, sections_to
from hpcmtl.jobfile.transforms import READY_MADE
from hpcmtl.jobfile.unknown_keys import unknown_key
from hpcmtl.networks.architectures.choice import ARCHITECTURES
from hpcmtl.networks.zoo import ZOO

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel
    from pydantic_core import ErrorDetails

    from hpcmtl.jobfile.findings import Finding

Path_ = tuple[str, ...]
_WRITE = {
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "a mapping, such as {key: value}"),
    "string_type": "a text",
    **dict.fromkeys(("int_type", "int_from_float", "int_parsing"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    "bool_type": "true or false",
}
"""What to write, by pydantic's type of an error."""
_LISTS = frozenset({"list_type", "tuple_type", "set_type", "frozen_set_type"})
_LIMITS = {
    "greater_than": ("more than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}
"""Words for a limit, and the entry of the context of pydantic's error that holds it."""
_SOURCE = "{input: DATA/ARRAY, target: DATA/ARRAY}"
_EXAMPLES = {
    "optimizer": "{name: adam, learning_rate: 0.001}",
    "needs": "{TASK: data} or [TASK]",
    "weighting": "{name: cagrad, options: {c: 0.2}}, or a name alone",
    "sources": f"{{SOURCE: {_SOURCE}, ...}}",
    "mixture": "{how: equal, oversample: true}",
    "batch_sizes": "{SOURCE: 24, ...}",
    "targets": "{HEAD: DATA/ARRAY, ...}",
    "increment": "{new_since: runs/EARLIER}",
}
"""Values of keys that take a mapping."""
_NAMED_EXAMPLES = {
    "transform": "{name: crop, padding: 2}",
    "architecture": "{name: mmoe, experts: 4}",
    "model": "{name: mlp, outputs: 10}",
}
"""Values of what is chosen by a name."""
_TAGS = {*ZOO, *READY_MADE, *ARCHITECTURES, "user", ALONE, BY_NAME}


def explained(raw: Any, error: ValidationError, above: Path_ = ()) -> list[Finding]:
    """Returns the problems of a job, or of one task of it whose path is given, in terms of the job file."""
    details: list[ErrorDetails] = [{**detail, "loc": (*above, *detail["loc"])} for detail in error.errors()]
    meant = {near for detail in details for near in _meant_keys(raw, detail)}
    found = [(_explain(raw, detail), detail["type"]) for detail in details]
    told: dict[Path_, str] = {}
    for (path, text), kind in found:
        if kind == "missing" and path in meant:
            continue
        if kind == "literal_error" and path in told:  # a number or a word, such as `every`
            told[path] += f", or {text.rpartition(' ')[2]}"
            continue
        several = path in told
        told[path] = f"{told[path]}; {text}" if several else text
    return list(told.items())


def _meant_keys(raw: Any, detail: ErrorDetails) -> list[Path_]:
    """Returns paths of keys that an unknown key probably means or replaces, so that they are not called missing."""
    if detail["type"] != "extra_forbidden":
        return []
    *above, key = _path_of(raw, detail["loc"])
    close = close_to(key, sections_to(raw, detail["loc"], Job)[-1].keys)
    meant = ("input", "target", "sources") if close == "sources" else () if close is None else (close,)
    return [(*above, each) for each in meant]


def findings(model: type[BaseModel], raw: Any) -> list[Finding]:
    """Finds the problems of values for another model than a whole job, such as a site profile."""
    try:
        model.model_validate(raw)
    except ValidationError as error:
        return [_explain(raw, detail, model) for detail in error.errors()]
    return []


def _explain(raw: Any, detail: ErrorDetails, root: type[BaseModel] = Job) -> tuple[Path_, str]:
    """Returns the key path and a message for an error of pydantic, in terms of the job file."""
    # Pydantic's value, not the file's: a short form such as `needs: {a: data}` has no key of its own.
    path, value = _path_of(raw, detail["loc"]), detail["input"]
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        sections = sections_to(raw, detail["loc"], root)
        return path, unknown_key(path[-1], value, sections[-1].keys, home_of(path[-1], sections))
    if kind == BAD_KIND:
        written = isinstance(value, dict) and value.get("kind") is not None
        return (*path, "kind") if written else path, str(context["text"])
    if kind in {"union_tag_invalid", "union_tag_not_found"}:
        return _unknown_name(path, value)
    if kind == "literal_error":
        valid = [word.strip().strip("'") for word in str(context["expected"]).replace(" or ", ", ").split(",")]
        return path, f"found {value!r}{nearest(str(value), valid)}"
    if kind in _LIMITS:
        word, name = _LIMITS[kind]
        return path, f"found {value!r}; write a number that is {word} {context[name]:g}"
    if kind in {"model_type", "dict_type"} and (example := _example(path)) is not None:
        return path, f"found {value!r}; write a mapping, such as {example}"
    if kind == "string_type" and path[-1] == "input" and isinstance(value, list):
        return path, f"found {value!r}; write DATA/ARRAY, or for several inputs {{ARGUMENT: DATA/ARRAY, ...}}"
    return path, _said(kind, value, context, detail["msg"])


def _example(path: Path_) -> str | None:
    """Returns an example of the mapping at a place."""
    return _SOURCE if path[-2:-1] == ("sources",) else _EXAMPLES.get(path[-1])


def _unknown_name(path: Path_, value: Any) -> tuple[Path_, str]:
    """Returns the key path and a message for what is chosen by a name that is missing or unknown."""
    is_transform, is_architecture = "transform" in path[2:], path[-1] == "architecture"
    word = "transform" if is_transform else "architecture" if is_architecture else "model"
    example = _NAMED_EXAMPLES[word]
    own_names = () if is_architecture else ("package.module:attribute",)
    valid = [*(READY_MADE if is_transform else ARCHITECTURES if is_architecture else ZOO), *own_names]
    given = value.get("name") if isinstance(value, dict) else value
    if given is None:
        return path, f"`name` is missing; one of {', '.join(valid)}"
    if not isinstance(value, dict):
        return path, f"found {value!r}; write a mapping of `name` and its options, such as {example}"
    place = path if is_transform else (*path, "name")  # a transform may be its name alone
    own = None if is_architecture else colon_form(str(given))
    return place, f"unknown {word} {given!r}{f'; write {own!r}' if own else nearest(str(given), valid)}"


def _said(kind: str, value: Any, context: Mapping[str, Any], message: str) -> str:
    """Returns the message for an error of pydantic at a value."""
    if kind == "missing":
        return "is missing"
    if kind == "value_error":
        return str(context["error"])
    if kind == "string_too_long":
        return f"{str(value)[:20]!r}... has {len(value)} characters; a name has at most {context['max_length']}"
    if kind == "string_type" and isinstance(value, bool | int | float):
        return f"found {value!r}; write a text, in quotes: '{value}'"
    if kind == "too_short" and value in ([], ()):
        return "is empty; write one value or more"
    if kind in _LISTS:
        written = "1, 2" if value is None or isinstance(value, dict) else value
        return f"found {value!r}; write a list, such as [{written}]"
    if kind in _WRITE:
        return f"found {value!r}; write {_WRITE[kind]}"
    if kind == "string_pattern_mismatch":
        return f"found {value!r}; {_pattern_help(str(context['pattern']), value)}"
    return f"found {value!r}; {message[0].lower()}{message[1:]}"


def _pattern_help(pattern: str, value: Any) -> str:
    if "/" in pattern:
        return "write source/dataset, e.g. digits/images"
    if ":" in pattern and (own := colon_form(str(value))) is not None:
        return f"write {own!r}"
    if ":" in pattern:
        return "write package.module:attribute, or a name of hpcmtl where there is one"
    if ".-" not in pattern:
        return "an input has the name of an argument of the network: letters, digits and '_'"
    return "a name begins with a letter and has letters, digits, '_', '-' and '.'"


def _path_of(raw: Any, loc: tuple[int | str, ...]) -> Path_:
    """Returns the path of keys as in the file; pydantic adds the tags of unions."""
    path: list[str] = []
    value = raw
    for step in loc:
        if holds(value, step):
            value = value[step]
        elif step in _TAGS or "[" in str(step):  # of a union, such as `literal[...]`, or "[key]"
            continue
        else:
            value = None
        path.append(str(step))
    return tuple(path)

"""Explains the errors of pydantic in terms of the job file: the key, the value found, and what to write instead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from hpcmtl.errors import close_to, nearest
from hpcmtl.jobfile.inputs import ALONE, BY_NAME
from hpcmtl.jobfile.kind_registry import is_kind, load_kind
from hpcmtl.jobfile.resolve import colon_form
from hpcmtl.jobfile.schema import BAD_KIND, Job
from hpcmtl.jobfile.tasks import TaskBase
from hpcmtl.jobfile.transforms import READY_MADE
from hpcmtl.jobfile.unknown_keys import unknown_key
from hpcmtl.networks.zoo import ZOO

if TYPE_CHECKING:
    from collections.abc import Mapping

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
_EXAMPLES = {"optimizer": "{name: adam, learning_rate: 0.001}", "needs": "{TASK: data} or [TASK]"}
"""Values of keys that take a mapping."""
_TAGS = {*ZOO, *READY_MADE, "user", ALONE, BY_NAME}


def explained(raw: Any, error: ValidationError, above: Path_ = ()) -> list[Finding]:
    """Returns the problems of a job, or of one task of it whose path is given, in terms of the job file."""
    details: list[ErrorDetails] = [{**detail, "loc": (*above, *detail["loc"])} for detail in error.errors()]
    meant = {near for detail in details if (near := _meant_key(raw, detail)) is not None}
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


def _meant_key(raw: Any, detail: ErrorDetails) -> Path_ | None:
    """Returns the path of the key that an unknown key probably means, so that it is not called missing as well."""
    if detail["type"] != "extra_forbidden":
        return None
    *above, key = _path_of(raw, detail["loc"])
    close = close_to(key, _valid_keys(raw, detail["loc"], Job))
    return None if close is None else (*above, close)


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
        return path, unknown_key(path[-1], value, _valid_keys(raw, detail["loc"], root))
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
    if kind in {"model_type", "dict_type"} and path[-1] in _EXAMPLES:
        return path, f"found {value!r}; write a mapping, such as {_EXAMPLES[path[-1]]}"
    return path, _said(kind, value, context, detail["msg"])


def _unknown_name(path: Path_, value: Any) -> tuple[Path_, str]:
    """Returns the key path and a message for a model or transform whose name is missing or unknown."""
    is_transform = "transform" in path[2:]
    word, example = ("transform", "{name: crop, padding: 2}") if is_transform else ("model", "{name: mlp, outputs: 10}")
    valid = [*(READY_MADE if is_transform else ZOO), "package.module:attribute"]
    given = value.get("name") if isinstance(value, dict) else value
    if given is None:
        return path, f"`name` is missing; one of {', '.join(valid)}"
    if not isinstance(value, dict):
        return path, f"found {value!r}; write a mapping of `name` and its options, such as {example}"
    place = path if is_transform else (*path, "name")  # a transform may be its name alone
    own = colon_form(str(given))
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
        if _holds(value, step):
            value = value[step]
        elif step in _TAGS or "[" in str(step):  # of a union, such as `literal[...]`, or "[key]"
            continue
        else:
            value = None
        path.append(str(step))
    return tuple(path)


def _holds(value: Any, step: int | str) -> bool:
    if isinstance(value, dict):
        return step in value
    return isinstance(value, list | tuple) and isinstance(step, int) and step < len(value)


def _valid_keys(raw: Any, loc: tuple[int | str, ...], root: type[BaseModel]) -> list[str]:
    """Returns the keys that the schema has at the place of an unknown key."""
    here: list[type[BaseModel]] = [root]
    named = False  # true if the next step is a name that the user chose, not a key of the schema
    value = raw
    for step in loc[:-1]:
        value = value[step] if _holds(value, step) else value
        if named:
            named = False
            here = [_schema_of(model, value) for model in here]
            continue
        tagged = [model for model in here if _tag(model) == step]
        if tagged and len(here) > 1:
            here = tagged
            continue
        fields = [model.model_fields[step] for model in here if step in model.model_fields]
        if fields:
            named = any(get_origin(field.annotation) is dict for field in fields)
            here = [model for field in fields for model in _models_in(field.annotation)]
    return sorted({field.alias or name for model in here for name, field in model.model_fields.items()})


def _schema_of(model: type[BaseModel], value: Any) -> type[BaseModel]:
    """Returns the schema of a value: for a task, the one of its kind."""
    kind = value.get("kind") if model is TaskBase and isinstance(value, dict) else None
    schema: type[BaseModel] = load_kind(kind).schema if isinstance(kind, str) and is_kind(kind) else model
    return schema


def _tag(model: type[BaseModel]) -> Any:
    field = model.model_fields.get("name")
    return field.default if field else None


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]

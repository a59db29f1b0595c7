"""Reads a job file into a `Job`, or reports all its problems at once, with file, key and line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from hpcmtl.errors import InputError, Problem, nearest
from hpcmtl.jobfile.check import check_job, sound_part
from hpcmtl.jobfile.defaults import in_defaults
from hpcmtl.jobfile.kind_registry import is_kind, load_kind
from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.jobfile.read import AmbiguousValuesError, read_values
from hpcmtl.jobfile.schema import BAD_KIND, Job
from hpcmtl.jobfile.tasks import TaskBase
from hpcmtl.networks.models import ZOO

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from pydantic_core import ErrorDetails

    from hpcmtl.jobfile.findings import Finding

Path_ = tuple[str, ...]
_WRITE = {
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "a mapping, such as {key: value}"),
    **dict.fromkeys(("list_type", "tuple_type", "set_type", "frozen_set_type"), "a list, such as [1, 2]"),
    "string_type": "a text",
}
"""What to write, by pydantic's type of an error."""
_TAGS = {*ZOO, "user"}


def load_job(file: Path, changes: Mapping[str, Any] | None = None) -> Job:
    """Reads and checks a job file (YAML, or TOML by its ending).

    Args:
        file: the job file.
        changes: top-level keys with values that replace the file's.

    Returns:
        The job, with the values under `defaults` filled into its tasks.

    Raises:
        InputError: all problems of the file at once (UnsoundJobError if it is valid YAML or TOML).
    """
    try:
        raw, lines = read_values(file)
    except AmbiguousValuesError as error:
        raise _joined(error, {**error.values, **(changes or {})}, str(file)) from None
    return parse_job({**raw, **(changes or {})}, str(file), lines)


def _joined(error: AmbiguousValuesError, raw: Mapping[str, Any], where: str) -> UnsoundJobError:
    """Returns the problems of ambiguous values together with all others of the job."""
    known = {problem.where for problem in error.problems}
    try:
        job = parse_job(raw, where, error.lines)
    except UnsoundJobError as others:
        more = [problem for problem in others.problems if problem.where not in known]
        return UnsoundJobError([*error.problems, *more], others.readable, others.sound)
    return UnsoundJobError(error.problems, job, job)


class UnsoundJobError(InputError):
    """Reports the problems of a job, and keeps its sound part for further checks.

    Attributes:
        readable: the job without the tasks that the schema refuses; None if none of it can be read.
        sound: the job without the tasks that have problems, and without those that need them.
    """

    def __init__(self, problems: Iterable[Problem], readable: Job | None, sound: Job | None) -> None:
        super().__init__(problems)
        self.readable = readable
        self.sound = sound

    def __reduce__(self) -> tuple[type[InputError], tuple[tuple[Problem, ...]]]:
        """Reduces the error to its problems, which alone travel between ranks."""
        return (InputError, (self.problems,))


def parse_job(raw: Any, where: str = "job", lines: Mapping[Path_, int] | None = None) -> Job:
    """Checks the values of a job from a file or from code, and fills in the defaults.

    Raises:
        UnsoundJobError: all problems at once.
    """
    job, found, unread = _validate(raw)
    if job is not None:
        job = with_defaults(job)
        found += check_job(job, unread)
    if found or job is None:
        told = in_defaults(job, found) if job else found
        raise UnsoundJobError(locate(told, where, lines), job, sound_part(job, found, unread) if job else None)
    return job


def _validate(raw: Any) -> tuple[Job | None, list[Finding], dict[str, tuple[str, ...]]]:
    """Validates a job; if that fails, validates it again without the tasks and sections with errors.

    Returns:
        The job or the rest of it; the findings; the needs of the tasks left out, as far as they can be read.
    """
    try:
        return Job.model_validate(raw), [], {}
    except ValidationError as error:
        found = explained(raw, error)
    if not isinstance(raw, dict) or not isinstance(raw.get("tasks"), dict):
        return None, found, {}
    blamed = {path[1] for path, _ in found if len(path) > 1 and path[0] == "tasks"}
    sections = {path[0] for path, _ in found if path and path[0] != "tasks"}
    rest = {key: value for key, value in raw.items() if key not in sections}
    rest["job"] = rest.get("job", "job")
    rest["tasks"] = {name: task for name, task in raw["tasks"].items() if name not in blamed}
    unread = {name: _needs_of(raw["tasks"][name]) for name in blamed if name in raw["tasks"]}
    try:
        return Job.model_validate(rest), found, unread
    except ValidationError:
        return None, found, unread


def _needs_of(task: Any) -> tuple[str, ...]:
    needs = task.get("needs") if isinstance(task, dict) else None
    return tuple(map(str, needs)) if isinstance(needs, dict | list) else ()


def with_defaults(job: Job) -> Job:
    """Fills the keys that a task leaves open: from `defaults`, and then by its kind."""
    defaults = {name: getattr(job.defaults, name) for name in type(job.defaults).model_fields}
    tasks = {}
    for name, task in job.tasks.items():
        open_fields = [key for key in defaults if key in type(task).model_fields and getattr(task, key) is None]
        tasks[name] = task.model_copy(update={key: defaults[key] for key in open_fields})
    filled = job.model_copy(update={"tasks": tasks})
    return filled.model_copy(update={"tasks": {name: kind_of(filled, name).completed(filled, name) for name in tasks}})


def locate(found: Iterable[tuple[Path_, str]], where: str, lines: Mapping[Path_, int] | None = None) -> list[Problem]:
    """Adds to each finding the file, the key, and the line of the nearest key that is in the file."""
    problems = []
    for path, message in found:
        near = next((path[:n] for n in range(len(path), 0, -1) if path[:n] in (lines or {})), None)
        line = lines[near] if lines and near else None
        problems.append(Problem(f"{where}: {'.'.join(path)}" if path else where, message, line))
    return problems


def line_numbers(file: Path) -> dict[Path_, int]:
    """Returns the line of every key of a job file, for problems that are found after loading."""
    try:
        return read_values(file)[1]
    except AmbiguousValuesError as error:
        return error.lines


def explained(raw: Any, error: ValidationError, above: Path_ = ()) -> list[Finding]:
    """Returns the problems of a job, or of one task of it whose path is given, in terms of the job file."""
    return [_explain(raw, {**detail, "loc": (*above, *detail["loc"])}) for detail in error.errors()]


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
        return path, f"unknown key {path[-1]!r}{nearest(path[-1], _valid_keys(raw, detail['loc'], root))}"
    if kind == BAD_KIND:
        written = isinstance(value, dict) and value.get("kind") is not None
        return (*path, "kind") if written else path, str(context["text"])
    if kind in {"union_tag_invalid", "union_tag_not_found"}:
        valid = [*ZOO, "package.module:attribute"]
        given = value.get("name") if isinstance(value, dict) else value
        if given is None:
            return path, f"`name` is missing; one of {', '.join(valid)}"
        if not isinstance(value, dict):
            return (
                path,
                f"found {value!r}; write a mapping of `name` and its options, such as {{name: mlp, outputs: 10}}",
            )
        return (*path, "name"), f"unknown model {given!r}{nearest(str(given), valid)}"
    if kind == "literal_error":
        valid = [word.strip().strip("'") for word in str(context["expected"]).replace(" or ", ", ").split(",")]
        return path, f"found {value!r}{nearest(str(value), valid)}"
    return path, _said(kind, value, context, detail["msg"])


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
    if kind in _WRITE:
        return f"found {value!r}; write {_WRITE[kind]}"
    if kind == "string_pattern_mismatch":
        return f"found {value!r}; {_pattern_help(str(context['pattern']))}"
    return f"found {value!r}; {message[0].lower()}{message[1:]}"


def _pattern_help(pattern: str) -> str:
    if "/" in pattern:
        return "write source/dataset, e.g. digits/images"
    if ":" in pattern:
        return "write package.module:attribute, or a name of hpcmtl where there is one"
    return "a name begins with a letter and has letters, digits, '_', '-' and '.'"


def _path_of(raw: Any, loc: tuple[int | str, ...]) -> Path_:
    """Returns the path of keys as in the file; pydantic adds the tags of unions."""
    path: list[str] = []
    value = raw
    for step in loc:
        if _holds(value, step):
            value = value[step]
        elif step in _TAGS or step == "[key]":
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

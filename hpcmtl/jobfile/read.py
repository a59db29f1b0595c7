"""Reads the values of a job file (YAML 1.2 with JSON, or TOML) with the line of every key, and writes YAML.

PyYAML reads YAML 1.1, in which `yes` is true, `010` is 8, `1:30` is 90 and `1e-3` is a text. Here `1e-3` is a number,
`1:30` and dates are texts, and what other readers would take for another value is refused.
"""

from __future__ import annotations

import datetime as dt
import re
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from hpcmtl.errors import InputError, Problem
from hpcmtl.jobfile.other_files import unreadable
from hpcmtl.jobfile.yaml_loaders import LEADING_ZERO, Dumper, FastLoader, Loader, fits_fast_loader

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path


class Place(NamedTuple):
    """Holds where a key stands: the file, and its line, counted from 1, if that is known."""

    file: str
    line: int | None


Places = dict[tuple[str, ...], Place]
"""Key, as its steps from the top of the file -> place."""

_LINE = 60
"""Most characters of a line that a message shows."""
MOST_VALUES = 100_000
"""Largest number of values that the anchors of a file may stand for; a file without anchors may have more."""

_WORDS = re.compile(r"yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF")
_UNDERSCORE = re.compile(r"[-+]?[0-9][0-9]*_[0-9_]*(\.[0-9_]*)?")
_TEXT = "tag:yaml.org,2002:str"
_WORD_TAGS = ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:null")


class AmbiguousValuesError(InputError):
    """Reports values that are not the same in all versions of YAML, and keeps all values for further checks.

    Attributes:
        values: values of the file.
        places: place of every key.
    """

    def __init__(self, problems: Iterable[Problem], values: Any = None, places: Places | None = None) -> None:
        super().__init__(problems)
        self.values, self.places = values, places or {}


class _Values(NamedTuple):
    """Holds the values of a text in YAML, the places of its keys, and the problems of ambiguous values."""

    raw: Any
    places: Places
    problems: tuple[Problem, ...]


def to_yaml(values: Mapping[str, Any]) -> str:
    """Returns values as YAML, which `read_values` and readers of YAML 1.1 read back as the same values."""
    return str(yaml.dump(values, Dumper=Dumper, sort_keys=False))


def read_values(file: Path) -> tuple[Any, Places]:
    """Returns the values of a YAML or TOML file, and the place of every key (in TOML without its line).

    Raises:
        InputError: the file cannot be read, is not valid, is not a mapping, has a key twice, or has a value that is not
            the same in all versions of YAML.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")  # some editors begin a file with a byte order mark
    except (OSError, UnicodeDecodeError) as error:
        raise InputError([Problem(str(file), unreadable(file, error))]) from None
    if file.suffix == ".py":
        text = "is a Python script; a job file (YAML or TOML) was expected. Run a script that makes a job by `python`"
        raise InputError([Problem(str(file), text)])
    if file.suffix == ".toml":
        table = _read_toml(file, text)
        return table, dict.fromkeys(_keys(table, ()), Place(str(file), None))
    if file.suffix == ".json":
        text = text.replace("\t", " ")  # YAML takes no tabs before a key; in JSON no text holds one as it is
    values = _composed(str(file), text)
    if not isinstance(values.raw, dict):
        raise InputError([Problem(str(file), "a job file is a mapping that begins with `hpcmtl: 1`")])
    if values.problems:
        raise AmbiguousValuesError(values.problems, values.raw, values.places)
    return values.raw, values.places


def read_yaml(where: str, text: str) -> Any:
    """Returns the value of a text in YAML.

    Args:
        where: place of the text in messages.
        text: the text.

    Raises:
        InputError: it is no YAML, or has a value that is not the same in all versions of YAML.
    """
    values = _composed(where, text)
    if values.problems:
        raise InputError(values.problems)
    return values.raw


def _read_toml(file: Path, text: str) -> Any:
    try:
        values = tomllib.loads(text)
    except RecursionError:
        raise InputError([Problem(str(file), "not valid TOML: too many brackets inside of each other")]) from None
    except ValueError as error:
        raise InputError([Problem(str(file), f"not valid TOML: {error}")]) from None
    problems = [
        Problem(f"{file}: {'.'.join(path)}", f"found the date or time {value}; a job file has none, write it in quotes")
        for path, value in _dates(values, ())
    ]
    if problems:
        raise InputError(problems)
    return values


def _keys(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yields all keys of a table."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            here = (*path, str(key))
            yield here
            yield from _keys(inner, here)


def _dates(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yields the dates and times of TOML: a run directory would give them back as texts."""
    if isinstance(value, dt.date | dt.time):
        yield path, value
    elif isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _dates(inner, (*path, str(key)))


def _composed(where: str, text: str) -> _Values:
    """Reads a text in YAML, the errors of which are those of Python's reader."""
    if fits_fast_loader(text):
        try:
            return _composed_by(FastLoader, where, text)
        except _NotYamlError:
            pass  # read again for the words
    return _composed_by(Loader, where, text)


class _NotYamlError(InputError):
    """The text is no YAML."""


def _composed_by(kind: Any, where: str, text: str) -> _Values:
    loader = None
    try:
        loader = kind(text)
        node = loader.get_single_node()
        if node is None:
            return _Values(None, {}, ())
        places: Places = {}
        # Before the construction, which writes merged keys (`<<`) into the nodes.
        problems = [*_anchors(where, node)] or [*_twice(where, node, places)]
        if problems:
            raise InputError(problems)
        problems = [*_ambiguous(where, node)]
        return _Values(loader.construct_document(node), places, tuple(problems))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else None
        problem = getattr(error, "problem", None) or str(error)
        raise _NotYamlError([Problem(where, f"not valid YAML: {problem}{_at(text, mark)}", line)]) from None
    except RecursionError:
        raise InputError([Problem(where, "not valid YAML: too many brackets inside of each other")]) from None
    except ValueError as error:  # an integer of thousands of digits
        raise InputError([Problem(where, f"not valid YAML: {error}")]) from None
    finally:
        if loader is not None:
            loader.dispose()


def _at(text: str, mark: yaml.Mark | None) -> str:
    """Returns the text of the line where a reader gave up, and what to look at."""
    lines = text.splitlines()
    if mark is None or not lines:
        return ""
    line = lines[min(mark.line, len(lines) - 1)].strip()
    shown = line if len(line) <= _LINE else f"{line[:_LINE]}..."
    tabs = "; this line begins with a tab" if lines[min(mark.line, len(lines) - 1)].startswith("\t") else ""
    return f", at `{shown}`{tabs}. Check the indentation (spaces, no tabs), quotes and brackets of this line and above"


def _twice(where: str, node: yaml.Node, places: Places) -> Iterator[Problem]:
    """Yields keys that appear twice: YAML itself silently takes the second, and a task would be lost."""
    for path, line in _collect(where, node, (), places):
        yield Problem(f"{where}: {'.'.join(path)}", "this key appears twice", line)


def _anchors(where: str, node: yaml.Node) -> Iterator[Problem]:
    """Yields an anchor that contains itself, or anchors that stand for too many values."""
    sizes: dict[int, int] = {}
    inside: set[int] = set()

    def size_of(each: yaml.Node) -> int:
        if id(each) in inside:
            raise _SelfError(each)
        if id(each) not in sizes:
            inside.add(id(each))
            sizes[id(each)] = 1 + sum(map(size_of, _children(each)))
            inside.remove(id(each))
        return sizes[id(each)]

    try:
        whole = size_of(node)
    except _SelfError as error:
        yield Problem(where, "an anchor contains itself", error.node.start_mark.line + 1)
        return
    if whole > max(MOST_VALUES, len(sizes)):
        yield Problem(where, f"its anchors stand for {whole} values; at most {MOST_VALUES} are read. Write it shorter")


class _SelfError(Exception):
    """Reports a node that contains itself."""

    def __init__(self, node: yaml.Node) -> None:
        super().__init__()
        self.node = node


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [each for pair in node.value for each in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _ambiguous(where: str, node: yaml.Node, path: tuple[str, ...] = ()) -> Iterator[Problem]:
    """Makes texts of keys, and yields plain scalars that are other values in YAML 1.1 than in YAML 1.2."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.tag in _WORD_TAGS or _WORDS.fullmatch(str(key.value)):
                key.tag = _TEXT  # a key is a text: `no:` and `true:` are names
            else:
                yield from _ambiguous(where, key, path)
            yield from _ambiguous(where, value, (*path, str(key.value)))
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _ambiguous(where, value, (*path, str(index)))
    elif isinstance(node, yaml.ScalarNode) and not node.style:
        meant = _meant(str(node.value))
        if meant:
            text = f"found {node.value}, which {meant}, or '{node.value}' in quotes for the text"
            yield Problem(f"{where}: {'.'.join(path)}" if path else where, text, node.start_mark.line + 1)


def _meant(text: str) -> str | None:
    """Returns what a plain scalar may mean, and what to write instead; None if all versions of YAML agree."""
    if _WORDS.fullmatch(text):
        value = "true" if text.lower() in {"yes", "on"} else "false"
        return f"is {value} in YAML 1.1 and a text in YAML 1.2: write {value}"
    if LEADING_ZERO.fullmatch(text):
        return f"is octal or a text in YAML 1.1 and decimal in YAML 1.2: write {int(text.replace('_', ''))}"
    if _UNDERSCORE.fullmatch(text):
        return f"is a number in YAML 1.1 and a text in YAML 1.2: write {text.replace('_', '')}"
    return None


def _collect(
    where: str, node: yaml.Node, path: tuple[str, ...], places: Places
) -> Iterable[tuple[tuple[str, ...], int]]:
    """Fills the places of all keys; yields keys that appear twice, with their lines."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here, line = (*path, str(key.value)), key.start_mark.line + 1
            if here in places:
                yield here, line
                continue
            places[here] = Place(where, line)
            yield from _collect(where, value, here, places)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            here = (*path, str(index))
            places[here] = Place(where, value.start_mark.line + 1)
            yield from _collect(where, value, here, places)

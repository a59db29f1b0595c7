"""Loaders and a dumper of PyYAML for the core schema of YAML 1.2."""

from __future__ import annotations

import itertools
import re
from typing import Any

import yaml

LEADING_ZERO = re.compile(r"[-+]?0[0-9_]+")
"""A whole number that begins with 0, which YAML 1.1 takes for an octal one."""

_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_CORE = {
    "null": (re.compile(r"~|null|Null|NULL|"), [*"~nN", ""]),
    "bool": (re.compile(r"true|True|TRUE|false|False|FALSE"), [*"tTfF"]),
    "int": (_INT, [*"-+0123456789"]),
    "float": (_FLOAT, [*"-+.0123456789"]),
    "merge": (re.compile(r"<<"), ["<"]),
}


# Values that lie deeper in each other than these numbers of brackets and of spaces are left to Python's reader.
_BRACKETS, _INDENT = 1000, 2000
_RUNS = re.compile(r"(?:[-?:][ \t]+){1000}")  # lists or keys in each other, on one line


class Loader(yaml.SafeLoader):
    """Resolves plain scalars by the core schema of YAML 1.2; brackets that are too deep for Python raise an error."""

    yaml_implicit_resolvers: dict[str, Any] = {}


class FastLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # libyaml may be missing
    """The same by libyaml, five times as fast; brackets that are too deep for it would end the process."""

    yaml_implicit_resolvers: dict[str, Any] = {}


def _number(loader: Any, node: yaml.ScalarNode) -> int:
    """Returns an integer: decimal, `0o17` or `0x1F`."""
    text = str(loader.construct_scalar(node))
    return int(text, 0) if text[:2] in {"0o", "0x"} else int(text)


class Dumper(yaml.SafeDumper):
    """Writes texts in quotes that readers of YAML 1.1 or 1.2 would take for another value."""


for _tag, (_pattern, _first) in _CORE.items():
    _whole = re.compile(rf"(?:{_pattern.pattern})\Z")
    for _reader in (Loader, FastLoader):
        _reader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", _whole, _first)
    if _tag in {"int", "float"}:
        Dumper.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", _whole, _first)
Loader.add_constructor("tag:yaml.org,2002:int", _number)
FastLoader.add_constructor("tag:yaml.org,2002:int", _number)
Dumper.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(rf"(?:{LEADING_ZERO.pattern})\Z"), [*"-+0"])


def fits_fast_loader(text: str) -> bool:
    """Returns whether values lie so little deep in each other that libyaml may read a text."""
    return _depth(text) <= _BRACKETS and " " * _INDENT not in text and not _RUNS.search(text)


def _depth(text: str) -> int:
    """Returns the largest number of open brackets at a place, those in quotes included."""
    steps = (1 if bracket in "[{" else -1 for bracket in re.findall(r"[][{}]", text))
    return max(itertools.accumulate(steps, lambda depth, step: max(depth + step, 0)), default=0)

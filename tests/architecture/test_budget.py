"""No module, function or list of parameters grows past what a reader can hold; files are read as text, not imported."""

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULE_LINES, FUNCTION_LINES, PARAMETERS = 300, 40, 6
SOURCES = sorted(path for folder in ("hpcmtl", "datasets", "benchmarks") for path in (ROOT / folder).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))

# "file" or "file: function" -> why it may be larger.
ALLOWED: dict[str, str] = {
    "hpcmtl/cli/adopt.py: adopt": "each parameter is an option of the command line",
    "hpcmtl/cli/cancel.py: cancel": "each parameter is an option of the command line",
    "hpcmtl/cli/data.py: seal": "each parameter is an option of the command line",
    "hpcmtl/cli/logs.py: logs": "each parameter is an option of the command line",
    "hpcmtl/cli/plan.py: plan": "each parameter is an option of the command line",
    "hpcmtl/cli/run.py: resume": "each parameter is an option of the command line",
    "hpcmtl/cli/run.py: run": "each parameter is an option of the command line",
    "hpcmtl/results/events.py": "one table of all events of the ledger, a paragraph each",
    "hpcmtl/cli/submit.py: submit": "each parameter is an option of the command line",
}


@cache
def functions(path):
    """All functions of a file, methods and inner ones included."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def parameters(function):
    """Returns the number of parameters that a caller gives.

    Constructors of frozen keyword-only dataclasses are generated, so no function stands for them here: a value may have
    as many named fields as it needs.
    """
    given = function.args
    names = [argument.arg for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return len([name for name in names if name not in {"self", "cls"}])


def anonymous_tuples(function):
    """Yields the parameters that are annotated as a tuple of values of different types, optional ones included."""
    for argument in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs):
        pending = [argument.annotation]
        while pending:
            match pending.pop():
                case ast.BinOp(left=left, op=ast.BitOr(), right=right):
                    pending += [left, right]
                case ast.Subscript(value=ast.Name(id="tuple"), slice=ast.Tuple(elts=[*elements])):
                    types = {ast.unparse(each) for each in elements}
                    if len(types) > 1 and "..." not in types:
                        yield argument.arg


def label(path, function=None):
    """Returns the name of a place, as `ALLOWED` and the messages have it."""
    file = str(path.relative_to(ROOT))
    return file if function is None else f"{file}: {function.name}"


def test_modules_are_short():
    """A module has at most 300 lines."""
    lines = {label(path): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}

    assert {name: count for name, count in lines.items() if count > MODULE_LINES and name not in ALLOWED} == {}


def test_functions_fit_a_screen():
    """A function has at most 40 lines, its signature and docstring included."""
    lines = {
        label(path, function): function.end_lineno - function.lineno + 1
        for path in SOURCES
        for function in functions(path)
    }

    assert {name: count for name, count in lines.items() if count > FUNCTION_LINES and name not in ALLOWED} == {}


def test_functions_take_few_parameters():
    """A function has at most six parameters beside `self`; constructors of frozen keyword-only values are exempt."""
    counts = {label(path, function): parameters(function) for path in SOURCES for function in functions(path)}

    assert {name: count for name, count in counts.items() if count > PARAMETERS and name not in ALLOWED} == {}


@pytest.mark.parametrize(
    ("annotation", "found"),
    [
        ("tuple[int, float]", ["x"]),
        ("tuple[Shape, int] | None", ["x"]),
        ("tuple[int, int]", []),
        ("tuple[int, ...]", []),
        ("list[tuple[int, float]]", []),
    ],
)
def test_anonymous_tuples_are_found(annotation, found):
    """A tuple of different types is found, a span of two numbers or a list of pairs is not."""
    (function,) = ast.parse(f"def f(x: {annotation}): ...").body

    assert list(anonymous_tuples(function)) == found


def test_parameters_are_no_anonymous_tuples():
    """No parameter is a tuple of different things: they are parameters of their own, or a named value."""
    tuples = {
        label(path, function): list(anonymous_tuples(function)) for path in SOURCES for function in functions(path)
    }

    assert {name: found for name, found in tuples.items() if found} == {}


def test_exceptions_are_still_needed():
    """Everything on the list of exceptions exists, so that the list cannot outlive its reasons."""
    names = {label(path) for path in SOURCES}
    names |= {label(path, function) for path in SOURCES for function in functions(path)}

    assert set(ALLOWED) - names == set()


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(ROOT / "tests")))
def test_every_test_says_what_it_proves(path):
    """A test's docstring is one sentence that ends with a full stop."""
    docstrings = {
        function.name: ast.get_docstring(function) or "" for function in functions(path) if function.name[:5] == "test_"
    }

    assert [name for name, text in docstrings.items() if not text.strip().endswith(".") or "\n\n" in text] == []

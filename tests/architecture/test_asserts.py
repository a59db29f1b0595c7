"""A guard is an exception: Python leaves out every `assert` under `-O` and PYTHONOPTIMIZE."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "hpcmtl"


def narrows_a_type(test):
    """Returns true if the condition of an assert only tells mypy a type: without it the next use raises."""
    if isinstance(test, ast.BoolOp):
        return isinstance(test.op, ast.And) and all(map(narrows_a_type, test.values))
    if isinstance(test, ast.Call):
        return isinstance(test.func, ast.Name) and test.func.id == "isinstance"
    against_none = isinstance(test, ast.Compare) and ast.unparse(test.comparators[0]) == "None"
    return against_none and len(test.ops) == 1 and isinstance(test.ops[0], ast.IsNot)


def asserts_in(source):
    """The conditions of all asserts of a module that are more than the type of a value, and those in its texts."""
    tree = ast.parse(source)
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    found = [ast.unparse(n.test) for n in ast.walk(tree) if isinstance(n, ast.Assert) and not narrows_a_type(n.test)]
    return found + [line for text in texts for line in text.splitlines() if line.strip().startswith("assert ")]


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_an_assert_is_no_guard(path):
    """An assert says that a value is not None, or its class; whatever else may be wrong raises an exception."""
    assert asserts_in(path.read_text(encoding="utf-8")) == []


def test_the_rule_finds_guards():
    """Comparisons, alternatives, and programs in texts are found; types are not."""
    types = ["assert a is not None", "assert isinstance(a, b)", "assert a is not None and b is not None"]
    source = "\n".join([*types, "assert a == b", "assert a is not None and b", "assert a is None", "P = 'assert c'"])

    assert asserts_in(source) == ["a == b", "a is not None and b", "a is None", "assert c"]

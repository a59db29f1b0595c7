"""Measures whether the tests notice small changes of the code: changes a sample of places, and runs the room's tests.

    python benchmarks/mutation.py FOLDER [--changes 300] [--seed 0] [--rooms ROOM ...]

cosmic-ray makes the changes: another comparison or arithmetic operator, `and` for `or`, a negation, another number or
truth value. Each change is made in a clone of the last commit in FOLDER; the quick tests of the room run, first those
beside the changed module. A change that all of them pass is printed as a difference: it changes nothing that anybody
could see, or a test is missing. FOLDER keeps the results, and the same command continues an interrupted sample.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("layerplan", "data", "exchange", "training", "results", "dispatch")
# Operators that change the type of a value, as `<<` for `/`, are left out: any test that comes by notices them.
ARITHMETIC = "Add|Sub|Mul|Div|FloorDiv|Mod|Pow"
ORDER = "Eq|NotEq|Lt|LtE|Gt|GtE"
OPERATORS = re.compile(
    r"core/(AddNot|NumberReplacer|Replace(AndWithOr|OrWithAnd|TrueWithFalse|FalseWithTrue)"
    rf"|ReplaceBinaryOperator_({ARITHMETIC})_({ARITHMETIC})|ReplaceComparisonOperator_({ORDER})_({ORDER})"
    r"|ReplaceComparisonOperator_(Is|IsNot|In|NotIn)_(Is|IsNot|In|NotIn)|ReplaceUnaryOperator_\w+)"
)
LEAST_SECONDS = 30


def main() -> None:
    """Tests each change of the sample, and prints the share that the tests notice."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--changes", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rooms", nargs="+", default=ROOMS)
    options = parser.parse_args()
    clone = options.folder / "clone"
    if not clone.exists():
        subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
    results = options.folder / "results.jsonl"
    done = {}
    if results.exists():
        rows = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
        done = {Change(Path(row["module"]), row["operator"], row["occurrence"]): row for row in rows}
    found = []
    for room in options.rooms:
        sample = choose(clone, room, -(-options.changes // len(options.rooms)), options.seed)
        seconds: float | None = None
        for change in sample:
            row = done.get(change)
            if row is None:
                if seconds is None:
                    seconds = unchanged(clone, room)
                row = try_out(clone, room, change, 3 * seconds + LEAST_SECONDS)
                with results.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                if row["outcome"] == "lives":
                    print(row["difference"], flush=True)
            found.append({"room": room, **row})
    for room in options.rooms:
        counts = Counter(row["outcome"] for row in found if row["room"] == room)
        print(f"{room}: {counts.total()} changes, {dict(counts)}")
    noticed = sum(row["outcome"] != "lives" for row in found)
    print(f"{len(found)} changes, {noticed} noticed: {noticed / len(found):.0%}")


@dataclass(frozen=True)
class Change:
    """Names one change: the place that an operator of cosmic-ray changes in a module, counted from 0."""

    module: Path
    operator: str
    occurrence: int


def choose(clone: Path, room: str, count: int, seed: int) -> list[Change]:
    """Returns a random sample of changes, at most one at each place of the code."""
    modules = sorted((clone / "hpcmtl" / room).rglob("*.py"))
    places: dict[tuple[Path, Any], list[tuple[str, int]]] = {}
    for module in modules:
        for place, operator, occurrence in changes(module.read_text(encoding="utf-8")):
            places.setdefault((module.relative_to(clone), place), []).append((operator, occurrence))
    chance = random.Random(f"{seed} {room}")
    order = list(places)
    chance.shuffle(order)
    sample: list[Change] = []
    for module, place in order:
        operator, occurrence = chance.choice(places[module, place])
        if changes_code((clone / module).read_text(encoding="utf-8"), operator, occurrence):
            sample.append(Change(module, operator, occurrence))
        if len(sample) == count:
            break
    return sample


def changes(code: str) -> Iterator[tuple[Any, str, int]]:
    """Yields (place, operator, occurrence) of every change that cosmic-ray can make."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.plugins import get_operator, operator_names

    nodes = list(ast_nodes(get_ast(code)))
    for name in operator_names():
        if not OPERATORS.fullmatch(name):
            continue
        operator = get_operator(name)()
        positions = (position for node in nodes for position in operator.mutation_positions(node))
        for occurrence, (start, _) in enumerate(positions):
            yield start, name, occurrence


def changed(code: str, operator: str, occurrence: int) -> str:
    """Returns the code with one change."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    return str(mutate_code(code, get_operator(operator)(), occurrence))


def changes_code(code: str, operator: str, occurrence: int) -> bool:
    """Tells whether the change is one of code that runs, not of an annotation."""
    try:
        return without_annotations(changed(code, operator, occurrence)) != without_annotations(code)
    except SyntaxError:
        return False


def without_annotations(code: str) -> str:
    """Returns a dump of the code's syntax tree without annotations, which nobody evaluates."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            node.returns = None
        elif isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(value=None)
    return ast.dump(tree)


def unchanged(clone: Path, room: str) -> float:
    """Runs the tests of a room without a change; returns their seconds, or ends the program if one of them fails."""
    start = time.perf_counter()
    done = tests(clone, [clone / "tests" / room], timeout=1800)
    if done.returncode:
        raise SystemExit(f"the tests of {room} fail without a change:\n{done.stdout[-4000:]}")
    return time.perf_counter() - start


def try_out(clone: Path, room: str, change: Change, timeout: float) -> dict[str, str | int]:
    """Makes a change, runs the tests, takes the change back, and returns what became of it."""
    module = change.module
    path = clone / module
    code = path.read_text(encoding="utf-8")
    new = changed(code, change.operator, change.occurrence)
    beside = clone / "tests" / module.relative_to("hpcmtl").with_name(f"test_{module.name}")
    path.write_text(new, encoding="utf-8")
    try:
        done = tests(clone, [*([beside] if beside.exists() else []), clone / "tests" / room], timeout)
        outcome = "fails" if done.returncode else "lives"
    except subprocess.TimeoutExpired:
        outcome = "hangs"
    finally:
        path.write_text(code, encoding="utf-8")
    lines = difflib.unified_diff(code.splitlines(), new.splitlines(), str(module), change.operator, lineterm="", n=2)
    return {
        "module": str(module),
        "operator": change.operator,
        "occurrence": change.occurrence,
        "outcome": outcome,
        "difference": "\n".join(lines),
    }


def tests(clone: Path, paths: Iterable[Path], timeout: float) -> subprocess.CompletedProcess[str]:
    """Runs quick tests of the clone, to the first failure."""
    words = [sys.executable, "-m", "pytest", "-x", "-q", "-m", "not slow", "--hypothesis-profile", "quick"]
    environment = {**os.environ, "PYTHONPATH": str(clone), "OMP_NUM_THREADS": "1"}
    # A change may make a test wait for ever, and what it started would outlive it: the session is ended as a whole.
    with subprocess.Popen(
        [*words, *map(str, paths)],
        cwd=clone,
        env=environment,
        text=True,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(words, process.returncode, output)


if __name__ == "__main__":
    main()

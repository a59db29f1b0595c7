"""Values cannot be changed: their dataclasses and models are frozen, and a class that is not has state."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "hpcmtl").rglob("*.py"))

# "file: class" of each dataclass that changes -> the state that it holds.
STATEFUL = {
    "hpcmtl/data/split_cache.py: SplitCache": "rows, once read",
    "hpcmtl/data/value_summary.py: ValueSummary": "extremes, block after block",
    "hpcmtl/dispatch/coordinator/running.py: Running": "reports of a layer that runs",
    "hpcmtl/dispatch/coordinator/state.py: TaskState": "place of a task in the run",
    "hpcmtl/dispatch/coordinator/task_source.py: TaskSources": "events that no source has seen",
    "hpcmtl/dispatch/rank/worker.py: _Held": "session of a task, and whether it failed",
    "hpcmtl/exchange/artifact_cache.py: _CachedArtifact": "rows, once fetched",
    "hpcmtl/exchange/parameter_server.py: ParameterServer": "versions, pulls and rounds",
    "hpcmtl/results/history.py: AttemptHistory": "facts of an attempt, event after event",
    "hpcmtl/results/history.py: TaskHistory": "facts of a task, event after event",
    "hpcmtl/results/logs/files.py: LogReader": "positions in the files that it follows",
    "hpcmtl/results/logs/files.py: _Reading": "position in a file",
    "hpcmtl/results/run_state.py: RunState": "facts of a run, event after event",
    "hpcmtl/results/sinks/terminal.py: _Running": "latest progress of a layer",
    "hpcmtl/results/sinks/terminal.py: _RunningTasks": "layers that run",
    "hpcmtl/training/artifacts/inputs.py: _Volume": "bytes that were read so far",
    "hpcmtl/training/loop.py: StepsResult": "losses, step after step",
    "hpcmtl/training/network_checks.py: NetworkChecks": "tasks that were checked",
}


def is_call_of(node, name):
    """Returns true if a node is the name of a function, or a call of it, with or without its module."""
    called = node.func if isinstance(node, ast.Call) else node
    return getattr(called, "attr", getattr(called, "id", "")) == name


def freezes(node):
    """Returns true if a call has the argument `frozen=True`."""
    keywords = node.keywords if isinstance(node, ast.Call) else []
    return any(each.arg == "frozen" and ast.unparse(each.value) == "True" for each in keywords)


def changeable(source):
    """Returns the names of all dataclasses and pydantic configurations of a module that are not frozen."""
    nodes = list(ast.walk(ast.parse(source)))
    made = [
        (node.name, decorator)
        for node in nodes
        if isinstance(node, ast.ClassDef)
        for decorator in node.decorator_list
        if is_call_of(decorator, "dataclass")
    ]
    made += [("ConfigDict", node) for node in nodes if isinstance(node, ast.Call) and is_call_of(node, "ConfigDict")]
    return [name for name, call in made if not freezes(call)]


def test_values_are_frozen():
    """Every dataclass and every model is frozen but those that hold state, all of which exist."""
    found = {
        f"{path.relative_to(ROOT)}: {name}" for path in SOURCES for name in changeable(path.read_text(encoding="utf-8"))
    }

    assert found == set(STATEFUL)


def test_the_rule_finds_what_can_be_changed():
    """Decorators with and without arguments or a module are found, as is the configuration of a model."""
    frozen = "@dataclass(frozen=True)\nclass A: ...\n@dataclasses.dataclass(frozen=True)\nclass B: ...\n"
    loose = "@dataclass\nclass C: ...\n@dataclasses.dataclass(frozen=False)\nclass D: ...\nConfigDict(strict=True)\n"

    assert changeable(frozen + "ConfigDict(frozen=True)") == []
    assert changeable(loose) == ["C", "D", "ConfigDict"]

"""Only `training/kinds` knows the types of tasks, and its modules import nothing heavy."""

import ast
import subprocess
import sys
from pathlib import Path

from hpcmtl.jobfile.kind_registry import BUILT_IN

ROOT = Path(__file__).parents[2]
KINDS = ROOT / "hpcmtl/training/kinds"
HOME = {*KINDS.glob("*.py"), ROOT / "hpcmtl/jobfile/schema.py"}
SCHEMAS = {
    node.name
    for node in ast.parse((KINDS / "schemas.py").read_text(encoding="utf-8")).body
    if isinstance(node, ast.ClassDef)
}


def model_fields(path, bases):
    """Yields the fields of the models in a module that derive from one of some bases, by name, directly or not."""
    bases = set(bases)
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and bases & {ast.unparse(base) for base in node.bases}:
            bases.add(node.name)
            yield from (each.target.id for each in node.body if isinstance(each, ast.AnnAssign))


COURSE = {"TaskBase", "TrainingCourse"}
FIELDS = {field for file in ("course_schemas.py", "schemas.py") for field in model_fields(KINDS / file, COURSE)} - {
    "kind"
}


def asked_attributes(tree):
    """Yields the names that a module gives to `getattr` and `hasattr` as texts."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"getattr", "hasattr"}:
            yield from (each.value for each in node.args[1:2] if isinstance(each, ast.Constant))


def asked_types(tree):
    """Yields the names of the types in each `isinstance`, `issubclass` and class pattern of a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in {"isinstance", "issubclass"}:
                yield from (each.id for each in ast.walk(node.args[1]) if isinstance(each, ast.Name))
        elif isinstance(node, ast.MatchClass) and isinstance(node.cls, ast.Name):
            yield node.cls.id


def compared_texts(tree):
    """Yields the texts that a module compares the attribute `kind` of something with."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            if any(isinstance(side, ast.Attribute) and side.attr == "kind" for side in sides):
                constants = (each for side in sides for each in ast.walk(side) if isinstance(each, ast.Constant))
                yield from (constant.value for constant in constants)


def test_no_other_room_asks_for_the_type_of_a_task():
    """Outside of `training/kinds` and the schema nothing depends on the class or on the name of a kind."""
    found = {}
    for path in sorted({*(ROOT / "hpcmtl").rglob("*.py")} - HOME):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        types, texts = SCHEMAS & set(asked_types(tree)), BUILT_IN.keys() & set(compared_texts(tree))
        if types or texts:
            found[str(path.relative_to(ROOT))] = types | texts

    assert {"Trained", "Train", "Python"} <= SCHEMAS
    assert found == {}


def test_no_module_guesses_the_keys_of_a_task():
    """No `getattr` or `hasattr` asks for a key of a schema, which a kind from outside may name otherwise."""
    found = {}
    for path in sorted((ROOT / "hpcmtl").rglob("*.py")):
        if asked := FIELDS & set(asked_attributes(ast.parse(path.read_text(encoding="utf-8")))):
            found[str(path.relative_to(ROOT))] = asked

    assert {"engine", "initialise", "sample_weights", "output", "callable"} <= FIELDS
    assert found == {}


def test_a_guess_is_found():
    """The search finds the names that `getattr` and `hasattr` get as texts, and no name that is computed."""
    tree = ast.parse("getattr(task, 'engine', None) or hasattr(task, 'input') or getattr(task, key)")

    assert set(asked_attributes(tree)) == {"engine", "input"}


def test_kinds_are_light():
    """All kinds can be asked about a job without numpy, HDF5, MPI, a framework or a session."""
    heavy = ["numpy", "h5py", "mpi4py", "mxnet", "horovod", "hpcmtl.training.session", "hpcmtl.training.sessions"]
    code = (
        "import sys\n"
        "from hpcmtl.jobfile.kind_registry import BUILT_IN, load_kind\n"
        "kinds = [load_kind(name) for name in BUILT_IN]\n"
        f"print(len(kinds), [name for name in {heavy} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)

    assert done.stdout == f"{len(BUILT_IN)} []\n", done.stderr

"""The users' modules that a run has imported are kept by their checksums."""

from __future__ import annotations

import importlib
import json
import sys

import pytest

import hpcmtl
from hpcmtl.errors import InputError
from hpcmtl.pipeline.run.user_code import imported_modules, note_code
from hpcmtl.results.rundir.directory import create


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module of the user's, imported from its folder."""
    file = tmp_path / "code" / "user_of_checksums.py"
    file.parent.mkdir()
    file.write_text("VALUE = 1\n")
    (file.parent / "never_imported.py").touch()
    monkeypatch.syspath_prepend(file.parent)
    importlib.import_module(file.stem)
    yield file
    del sys.modules[file.stem]


def test_an_edited_module_is_named(tmp_path, module):
    """The first look keeps checksums, a second one of the same code finds nothing, and one after an edit finds it."""
    run = create(tmp_path / "runs", "edited")
    first, same = note_code(run, [module.parent]), note_code(run, [module.parent])
    module.write_text("VALUE = 2\n")
    edited = note_code(run, [module.parent])

    assert (first, same, edited) == ([], [], [module])
    assert list(json.loads(run.code_file.read_text())) == [str(module)]


def test_modules_that_an_attempt_does_not_import_are_kept(tmp_path, module):
    """The tasks of one attempt may need fewer modules than those of another."""
    run = create(tmp_path / "runs", "kept")
    note_code(run, [module.parent])
    before = run.code_file.read_text()

    assert note_code(run, []) == []
    assert run.code_file.read_text() == before


def test_installed_packages_are_no_code_of_the_user(module):
    """Libraries, and hpcmtl itself, may lie below a folder of modules."""
    root = module.parents[len(module.parents) - 1]

    assert hpcmtl.__file__ is not None
    found = imported_modules([root])
    assert module in found
    assert not [path for path in found if path.name == "pytest.py" or "hpcmtl" in path.parts[-2:-1]]


def test_a_record_that_cannot_be_read_is_refused(tmp_path):
    """The remedy is in the message."""
    run = create(tmp_path / "runs", "damaged")
    run.code_file.write_text("[1")
    with pytest.raises(InputError, match="remove it to go on without a comparison of your modules"):
        note_code(run, [])

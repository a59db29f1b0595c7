"""Frameworks are found by name; what is wrong with one is told by whoever asks for it, and by nobody else."""

import sys

import pytest

from hpcmtl import entry_points
from hpcmtl.entry_points import installed
from hpcmtl.errors import EnvironmentUnfitError
from hpcmtl.frameworks.registry import DEFAULT, UnknownFrameworkError, describe, framework_names, loadable_descriptions

BUILT_IN = (DEFAULT, "torch")
MODULE = """
from hpcmtl.frameworks.description import FrameworkDescription

SMALL = FrameworkDescription(
    name="small",
    title="Small",
    factory="small_framework:make",
    losses=(),
    optimizers=(),
    engines=("local",),
    models=(),
    required=("no-such-distribution-of-hpcmtl",),
)
"""


@pytest.fixture
def register(tmp_path, monkeypatch):
    """Install a package that registers frameworks by entry points: name -> reference."""

    def install(**entries):
        (tmp_path / "small_framework.py").write_text(MODULE)
        info = tmp_path / "small_package-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: small-package\nVersion: 1\n")
        lines = [f"{name} = {reference}\n" for name, reference in entries.items()]
        (info / "entry_points.txt").write_text("".join(["[hpcmtl.frameworks]\n", *lines]))
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "small_framework", raising=False)
        installed.cache_clear()

    yield install
    monkeypatch.undo()
    installed.cache_clear()


def test_the_built_in_framework_is_described_without_imports():
    """Its names are known although nothing of it has been imported."""
    description = describe(DEFAULT)

    assert description.name == DEFAULT
    assert description.engines[0] in description.engines
    assert framework_names()[0] == DEFAULT


def test_an_installed_package_registers_its_framework(register):
    """An entry point is enough; distributions that are not installed are named."""
    register(small="small_framework:SMALL")

    assert framework_names() == (*BUILT_IN, "small")
    assert describe("small").title == "Small"
    assert describe("small").missing == ("no-such-distribution-of-hpcmtl",)


def test_the_environment_is_searched_once(register, monkeypatch):
    """Many tasks ask for their framework, and a search takes tens of milliseconds."""
    register(small="small_framework:SMALL")
    searches = []
    search = entry_points.entry_points
    monkeypatch.setattr(entry_points, "entry_points", lambda **keys: searches.append(keys) or search(**keys))
    for _ in range(5):
        describe("small")
        framework_names()

    assert searches == [{"group": "hpcmtl.frameworks"}]


def test_an_unknown_name_is_refused_with_the_nearest(register):
    """The message has the name that was probably meant, also of a registered framework."""
    register(small="small_framework:SMALL")
    with pytest.raises(UnknownFrameworkError, match="unknown framework 'smal'; did you mean 'small'"):
        describe("smal")


@pytest.mark.parametrize(
    ("reference", "reason"),
    [("no_module:SMALL", "cannot be imported"), ("small_framework:FrameworkDescription", "no FrameworkDescription")],
)
def test_a_broken_package_disturbs_only_who_asks_for_it(register, reference, reason):
    """Its framework is refused with the name of the package; the built-in one is found all the same."""
    register(broken=reference)
    with pytest.raises(EnvironmentUnfitError, match=f"small-package registers .*{reason}"):
        describe("broken")

    assert [description.name for description in loadable_descriptions()] == [*BUILT_IN]


def test_a_built_in_name_cannot_be_taken_over(register):
    """A package that registers the built-in name is not asked."""
    register(**{DEFAULT: "small_framework:SMALL"})

    assert describe(DEFAULT).name == DEFAULT
    assert framework_names() == BUILT_IN

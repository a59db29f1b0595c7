"""Opens frameworks by name: the heavy half of the registry."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, cast

from hpcmtl.errors import EnvironmentUnfitError
from hpcmtl.frameworks.registry import describe, load_reference
from hpcmtl.launch.interpreter import imports

if TYPE_CHECKING:
    from hpcmtl.training.learner import Framework


@cache
def open_framework(name: str) -> Framework:
    """Import a framework and return what makes its networks and learners; the same object for each call.

    Raises:
        EnvironmentUnfitError: the framework is not installed here, or cannot be imported.
        UnknownFrameworkError: no framework has this name.
    """
    description = describe(name)
    try:
        with imports():
            return cast("Framework", load_reference(description.factory)())
    except EnvironmentUnfitError:
        raise
    except (ImportError, OSError, AttributeError) as error:  # a library that the loader does not find is an OSError
        missing = description.missing
        remedy = f"install {', '.join(missing)}" if missing else "repair its installation; `hpcmtl doctor` says more"
        text = f"framework {name} cannot be imported ({type(error).__name__}: {error})"
        raise EnvironmentUnfitError(f"{text}: {remedy}") from error

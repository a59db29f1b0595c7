"""Opens frameworks by name: the heavy half of the registry."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, cast

from hpcmtl.errors import EnvironmentUnfitError
from hpcmtl.frameworks.registry import describe, load_reference, loadable_descriptions
from hpcmtl.launch.interpreter import imports

if TYPE_CHECKING:
    from hpcmtl.frameworks.description import FrameworkDescription
    from hpcmtl.training.framework import Framework


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
    except EnvironmentUnfitError as error:
        instead = _instead(description)
        if not instead:
            raise
        raise EnvironmentUnfitError(f"{error}{instead}") from error
    except (ImportError, OSError, AttributeError) as error:  # a library that the loader does not find is an OSError
        missing = description.missing
        remedy = f"install {', '.join(missing)}" if missing else "repair its installation; `hpcmtl doctor` says more"
        text = f"framework {name} cannot be imported ({type(error).__name__}: {error})"
        raise EnvironmentUnfitError(f"{text}: {remedy}{_instead(description)}") from error


def _instead(description: FrameworkDescription) -> str:
    """Returns words for the frameworks that are installed where one is not: a job may have meant one of them."""
    there = [each.name for each in loadable_descriptions() if each.required and not each.missing]
    if not description.missing or not there:
        return ""
    return f"; installed here: {' and '.join(f'`framework: {name}`' for name in there)}, under `defaults` or in a task"

"""Defines the light half of a framework: its names, as far as a machine without the framework needs them."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

INSIST = "!"
"""Ends the name of an engine that must not be replaced by another one."""


@dataclass(frozen=True, kw_only=True)
class FrameworkDescription:
    """Describes a deep-learning framework without importing it.

    References have the form ``package.module:attribute``.

    Attributes:
        name: name in the job file.
        title: name in messages.
        factory: reference to a callable without arguments that imports the framework and returns a
            `hpcmtl.training.framework.Framework`.
        losses: names of its losses.
        smoothed_losses: names of those that take label smoothing.
        loss_classes: place of a class, ``module:qualified name`` -> the loss that it is; users may name losses so.
        loss_module: module that has the classes of its losses under their usual names; empty for none.
        optimizers: names of its optimizers.
        engines: names of the engines that combine the gradients of a group; the first is the default. A name that ends
            with an exclamation mark refuses a replacement.
        compressions: names of the forms in which gradients can travel.
        models: names of the models that it can build.
        required: names of the distributions without which it does not work.
        optional: names of further distributions whose versions belong into the records of a run.
        set_up: what to do to install it; empty for one that its own package installs.
        checks: reference to a sequence of callables without arguments, each of which returns a
            `hpcmtl.launch.checks.Check`; empty for none.
        shares_zoo: whether its models of the zoo have the parameter names and layouts of all others that say so: then
            parameters may come from a model of the zoo in another framework.
        gradient_places: places of `gradients_at` at which its learners can compare the gradients of objectives.
        mpi_libraries: name of a library that is linked with MPI -> reference to a callable that loads it.
    """

    name: str
    title: str
    factory: str
    losses: tuple[str, ...]
    optimizers: tuple[str, ...]
    engines: tuple[str, ...]
    models: tuple[str, ...]
    compressions: tuple[str, ...] = ("none",)
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    set_up: str = ""
    checks: str = ""
    shares_zoo: bool = False
    gradient_places: tuple[str, ...] = ("shared",)
    mpi_libraries: Mapping[str, str] = field(default_factory=dict)
    loss_classes: Mapping[str, str] = field(default_factory=dict)
    loss_module: str = ""
    smoothed_losses: tuple[str, ...] = ()

    @property
    def distributions(self) -> tuple[str, ...]:
        """Names of all distributions whose versions belong into the records of a run."""
        return (*self.required, *self.optional)

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the required distributions that are not installed here; imports none of them."""
        return tuple(name for name in self.required if not _is_installed(name))


def _is_installed(distribution: str) -> bool:
    try:
        importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True

"""Checks of the architectures of joint tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.networks.architectures.choice import HardSharing
from hpcmtl.networks.architectures.extraction import Ple
from hpcmtl.networks.architectures.options import tokens_problem
from hpcmtl.networks.description import Branches, Shared, input_names, input_values
from hpcmtl.training.kinds.fit import check_part
from hpcmtl.training.kinds.known_names import check_own

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hpcmtl.frameworks.description import FrameworkDescription
    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.networks.description import NetworkDescription
    from hpcmtl.training.kinds.schemas import Joint, Trunk


def check_architecture(task: Joint, trunk: NetworkDescription, inputs: Iterable[str]) -> Iterator[Finding]:
    """Yields why a task cannot have its architecture.

    Args:
        task: the task.
        trunk: network of its trunk.
        inputs: names of the inputs that it is given.
    """
    chosen = task.architecture
    if isinstance(chosen, HardSharing):
        return
    if len(task.heads) == 1:
        text = f"{chosen.name} is for several heads, and the task has one; leave `architecture` out"
        yield ("architecture", "name"), text
    if task.weighting is not None and task.weighting.gradients_at == "last_shared_layer":
        text = f"with {chosen.name} each head has a code of its own, and no layer is the last one that all share"
        yield ("weighting", "gradients_at"), f"{text}; write `shared`"
    dotted = next((name for name in task.heads if "." in name), None)
    if dotted is not None:
        text = f"the name of the head {dotted} has a '.', which {chosen.name} needs for the parts of its networks"
        yield ("heads", dotted), f"{text}; write {dotted.replace('.', '_')}"
    problem = chosen.problem(trunk)
    if problem is None and chosen.gates_inputs and input_names(trunk) is None:
        integers = [name for name in inputs if input_values(trunk, name).integers]
        problem = tokens_problem(integers[0]) if integers else None
    if problem is None and isinstance(trunk, Shared):
        problem = "its trunk has heads itself; name a part of it, or a network with one output"
    if problem is not None:
        yield ("architecture", "name"), f"{chosen.name} does not fit: {problem}"


def check_levels(task: Joint, framework: FrameworkDescription) -> Iterator[Finding]:
    """Yields models of levels that the framework of a task does not know."""
    for number, model in enumerate(task.architecture.levels if isinstance(task.architecture, Ple) else ()):
        yield from check_own(("architecture", "levels", str(number), "name"), model.name, framework, "models")


def check_reused(trunk: Trunk, network: NetworkDescription) -> Iterator[Finding]:
    """Yields why the network of a task, or a part of it, cannot be a trunk."""
    if trunk.part is not None:
        yield from check_part(("trunk", "part"), network, trunk.part)
    if isinstance(network, Shared) and isinstance(network.trunk, Branches):
        text = f"the task {trunk.from_} has the architecture {network.trunk.architecture.name}"
        yield (
            ("trunk", "from"),
            f"{text}, which makes a code for each head; use the trunk of another task, or a `model`",
        )


def trunk_copies(task: Joint) -> tuple[str, ...]:
    """Returns the beginnings of the names of the parameters of each copy of the trunk."""
    if isinstance(task.architecture, HardSharing):
        return ("trunk",)
    return tuple(f"trunk.{name}" for name in task.architecture.copies(tuple(task.heads)))

"""Collects what fails while the parts of a task are tried before it runs, for every framework's `check`."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpcmtl.errors import InputError, Problem, reason_of
from hpcmtl.training.other_frameworks import foreign_objects
from hpcmtl.training.users_objects import state_of_users_code

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from hpcmtl.jobfile.kinds import FrameworkNeeds
    from hpcmtl.jobfile.tasks import Optimizer
    from hpcmtl.networks.shapes import InputShapes, Shape
    from hpcmtl.training.network_facts import NetworkFacts

ROWS = 2
"""Number of samples that a network is tried on: with one, an output without an axis for samples would look right."""


@contextmanager
def noting(problems: list[Problem], key: str) -> Iterator[None]:
    """Collects problems; one whose place is an object of the user's gets the key of the task before it."""
    try:
        yield
    except InputError as error:
        for each in error.problems:
            own = ":" in each.where and not each.where.startswith(f"{key} ")
            problems.append(Problem(f"{key} {each.where}" if own else each.where, each.message))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - users' code may raise anything
        problems.append(Problem(key, reason_of(error)))


@contextmanager
def said_of(what: str, key: str) -> Iterator[None]:
    """Turns any other error into an `InputError` that begins with what failed."""
    try:
        yield
    except InputError:
        raise  # it has its own words
    except (Exception, SystemExit) as error:
        raise InputError([Problem(key, f"{what}: {reason_of(error)}")]) from error


def shape_of_sample(shape: Shape) -> Shape:
    """Returns the shape of one sample of an output for `ROWS` samples.

    Raises:
        InputError: the first axis does not count the samples.
    """
    if not shape or shape[0] != ROWS:
        text = f"{ROWS} samples give an output of shape {shape}: the first axis must count the samples"
        raise InputError([Problem("model", text)])
    return shape[1:]


def shapes_of_loss(name: str, loss: Callable[[Any, Any], Any], output: Any, target: Any) -> tuple[Shape, Shape]:
    """Returns the shapes of outputs and of the values that a user's loss gives for them.

    Args:
        name: reference to the loss.
        loss: the loss.
        output: array of a framework, (n, ...).
        target: array of a framework, (n, ...).

    Raises:
        InputError: the loss raises an error.
    """
    shape = tuple(output.shape)
    with said_of(f"{name}: fails on outputs of shape {shape} and targets of shape {tuple(target.shape)}", "loss"):
        return shape, tuple(getattr(loss(output, target), "shape", ()))


def require_own_values(name: str, shapes: Callable[[int], tuple[Shape, Shape]], target: Shape, remedy: str) -> None:
    """Refuses a user's loss whose values have an axis that grows with the batch: it pairs each sample with all others.

    A difference of outputs (n, 1) and targets (n,) is such an array, (n, n), by broadcasting.

    Args:
        name: reference to the loss.
        shapes: function of a number of rows to the shapes of outputs and values; see `shapes_of_loss`.
        target: shape of the targets of `ROWS` rows.
        remedy: function of the framework that gives targets the shape of outputs.

    Raises:
        InputError: the loss fails, or there is such an axis.
    """
    output, values = shapes(ROWS)
    try:
        _, more = shapes(ROWS + 1)
    except InputError:  # it may take an even number of rows alone
        return
    if values[1:] != more[1:]:
        text = f"{ROWS} samples give values of shape {values}, from outputs {output} and targets {target}"
        advice = f"each sample is set against all others; give both the same shape (`{remedy}`)"
        raise InputError([Problem("loss", f"{name}: {text}: {advice}")])


@dataclass(frozen=True)
class Trials:
    """Functions of a framework that try the parts of a task; each raises what cannot be used.

    Attributes:
        framework: name of the framework.
        loss: function of the name of a loss.
        optimizer: function of an optimizer.
        settings: function that yields settings which the framework cannot follow.
        network: function that builds and runs the network for samples of some shapes; it appends further problems.
        step: function that makes one step, where all shapes are known.
    """

    framework: str
    loss: Callable[[str], object]
    optimizer: Callable[[Optimizer], object]
    network: Callable[[FrameworkNeeds, InputShapes, list[Problem]], NetworkFacts]
    step: Callable[[FrameworkNeeds], None]
    settings: Callable[[FrameworkNeeds], Iterable[Problem]] = lambda _needs: ()


def tried(needs: FrameworkNeeds, trials: Trials) -> NetworkFacts | None:
    """Tries all that a task asks of its framework; see `Framework.check`.

    A counter in a module of the user's is as before then, as on the ranks that try nothing.

    Raises:
        InputError: all that cannot be used.
    """
    problems = list(foreign_objects(needs, trials.framework))
    if problems:  # what else is wrong with them follows from it
        raise InputError(problems)
    code = state_of_users_code(needs)
    try:
        return _facts(needs, trials)
    finally:
        code.restore()


def _facts(needs: FrameworkNeeds, trials: Trials) -> NetworkFacts | None:
    problems: list[Problem] = []
    for name in needs.loss_names:
        with noting(problems, "loss"):
            trials.loss(name)
    if needs.optimizer is not None:
        with noting(problems, "optimizer"):
            trials.optimizer(needs.optimizer)
    problems += trials.settings(needs)
    facts = None
    if needs.network is not None and needs.samples is not None:
        with noting(problems, "model"):
            facts = trials.network(needs, needs.samples, problems)
    if not problems and facts is not None and needs.targets and needs.optimizer is not None:
        with noting(problems, "model"):
            trials.step(needs)
    if problems:
        raise InputError(problems)
    return facts

"""Checks of the networks of a job, by building each of them once with its framework.

`validate` and `run` share them. What a framework alone can tell comes from `Framework.check`; what follows from the
names and shapes that it shows is compared here, for all frameworks alike.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from hpcmtl.errors import EnvironmentUnfitError, InputError, nearest
from hpcmtl.jobfile.arrays import UNKNOWN
from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.jobfile.soundness import SoundPart, is_aside, is_of_objectives, objective_origins
from hpcmtl.networks.json_form import user_models
from hpcmtl.networks.shapes import shapes_text
from hpcmtl.taskgraph.graph import topological_order
from hpcmtl.training.coupling.checks import check_built_coupling
from hpcmtl.training.frameworks import open_framework
from hpcmtl.training.kinds.coupled_heads import check_shapes
from hpcmtl.training.kinds.fit import objective_path, objective_problems
from hpcmtl.training.step_comparison import BY_ITS_ROWS

_log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from hpcmtl.jobfile.arrays import ArraySpec
    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.jobfile.kinds import FrameworkNeeds
    from hpcmtl.jobfile.schema import Job
    from hpcmtl.training.framework import Framework
    from hpcmtl.training.network_facts import NetworkFacts


@dataclass
class NetworkChecks:
    """The state of the checks, task after task.

    Attributes:
        job: a sound job.
        arrays: arrays by reference; the shapes that building shows are added.
        found: problems.
        unchecked: task -> reason for which its network was not built.
        partly: tasks whose networks alone are checked, since targets or losses have problems; see `SoundPart`.
        facts: task -> shapes of its network.
        hidden: tasks whose networks could not be built because of problems, and those that use them.
    """

    job: Job
    arrays: dict[str, ArraySpec]
    partly: set[str] = field(default_factory=set)
    found: list[Finding] = field(default_factory=list)
    unchecked: dict[str, str] = field(default_factory=dict)
    facts: dict[str, NetworkFacts] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)
    _built: list[tuple[FrameworkNeeds, NetworkFacts]] = field(default_factory=list)

    def check(self, name: str) -> None:
        """Builds the network of a task, and compares what it shows with the rest of the job."""
        kind = kind_of(self.job, name)
        framework_name = kind.framework(self.job, name)
        if framework_name is None:
            return
        if not self.hidden.isdisjoint(self.job.tasks[name].needs):  # its problems would be repeated here
            self.hidden.add(name)
            return
        if not self.partly.isdisjoint(objective_origins(self.job, name)):
            self.partly.add(name)
        shapes = [(("tasks", name, *path), text) for path, text in kind.shape_checks(self.job, name, self.arrays)]
        self._note(name, filter(SoundPart(self.job, frozenset(self.partly)).concerns, shapes))
        if name not in self.hidden:
            try:
                self._build(name, open_framework(framework_name))
            except EnvironmentUnfitError as error:
                self.unchecked[name] = str(error)

    def _note(self, name: str, found: Iterable[Finding]) -> None:
        """Adds findings of a task, and what they leave to be checked."""
        for path, text in found:
            self.found.append((path, text))
            if is_of_objectives(path[2:]):
                self.partly.add(name)
            elif not is_aside(path[2:]):
                self.hidden.add(name)

    def _build(self, name: str, framework: Framework) -> None:
        """Builds the network of a task, for what its problems leave to be checked."""
        needs = kind_of(self.job, name).framework_needs(self.job, name, self.arrays)
        if needs.network is not None and needs.samples is None:
            self.unchecked[name] = "the shape of its input is known only when the job runs"
        wanted, known = replace(needs, targets=()), len(self.found)
        try:
            asked = replace(wanted, objectives=(), consistency=()) if name in self.partly else wanted
            facts = self._facts(framework, replace(asked, later_freeze=()))
            for frozen in asked.later_freeze if facts is not None else ():
                self._facts(framework, replace(asked, freeze=frozen, later_freeze=()))
        except InputError as error:
            self._note(name, [self._finding(name, each.where, each.message) for each in error.problems])
            facts = None if name in self.hidden else self._network_alone(name, framework, wanted)
        if facts is None:
            return
        self.facts[name] = facts
        if facts.unused and needs.optimizer is not None:
            _log.warning("task %s: no output depends on %s: not trained", name, ", ".join(facts.unused))
        outputs = () if name in self.partly else self._outputs(name, needs, facts)
        several = self._several_ranks(name, facts)
        self._note(name, [*outputs, *self._mappings(name), *self._same_network(name, needs), *several])
        if len(self.found) == known and name not in self.partly and _is_of_user(needs):
            try:
                framework.check(needs)  # with one step
            except InputError as error:
                self._note(name, [self._finding(name, each.where, each.message) for each in error.problems])
        if name not in self.hidden:
            self._publish(name, facts)

    def _network_alone(self, name: str, framework: Framework, needs: FrameworkNeeds) -> NetworkFacts | None:
        """Returns the shapes of a network whose optimizer, loss or frozen parameters have problems, for other tasks."""
        try:
            return self._facts(framework, replace(_network_alone(needs), precision=needs.precision))
        except InputError:  # it cannot be built for tasks that use it, either
            self.hidden.add(name)
            return None

    def _facts(self, framework: Framework, needs: FrameworkNeeds) -> NetworkFacts | None:
        """Returns the shapes of a network; equal ones, and those that only run it, share one that was built before.

        Networks of the user's code are built for each task: their code may give another one, or the same object again.
        """
        plain = _network_alone(needs)
        if plain == needs or not _is_of_user(needs):
            known = next((facts for built, facts in self._built if built == needs), None)
            if known is not None:
                return known
        facts = framework.check(needs)
        if facts is not None:
            self._built += [(plain, facts)] if plain == needs else [(plain, facts), (needs, facts)]
        return facts

    def _finding(self, name: str, where: str, message: str) -> Finding:
        """Returns a problem of a framework; its place begins with a key of the task where it belongs to one."""
        key, _, rest = where.partition(" ")
        task = self.job.tasks[name]
        if key == "part" and "output" in type(task).model_fields:
            return ("tasks", name, "output"), f"{rest}: {message}"
        if key not in type(task).model_fields:
            return ("tasks", name), f"{where}: {message}"
        return ("tasks", name, key), f"{rest}: {message}" if rest else message

    def _outputs(self, name: str, needs: FrameworkNeeds, facts: NetworkFacts) -> Iterator[Finding]:
        """Yields outputs that do not fit their objectives."""
        if len(facts.outputs) != len(needs.objectives):
            if needs.objectives:
                shapes = ", ".join(map(str, facts.outputs))
                text = f"the network has {len(facts.outputs)} outputs (samples of shape {shapes})"
                targets = ", ".join(each.target for each in needs.objectives)
                yield ("tasks", name), f"{text}, but the task has {len(needs.objectives)} target ({targets})"
            return
        for objective, made, target in zip(needs.objectives, facts.outputs, needs.targets, strict=True):
            for key, problem in objective_problems(objective, made, target):
                yield ("tasks", name, *objective_path(objective, key)), problem
        made_of = {each.name: made for each, made in zip(needs.objectives, facts.outputs, strict=True)}
        yield from ((("tasks", name, *path), text) for path, text in check_shapes(needs.consistency, made_of))

    def _several_ranks(self, name: str, facts: NetworkFacts) -> Iterator[Finding]:
        """Yields that a network would have other parameters on each rank, where a task may get several ranks."""
        task, engine = self.job.tasks[name], kind_of(self.job, name).engine(self.job, name)
        widths = () if engine == "local" else range(2, self.job.ranks + 1)
        if facts.bounded and any(map(task.ranks.allow, widths)):
            yield ("tasks", name, "ranks"), BY_ITS_ROWS.format(", ".join(facts.bounded))

    def _mappings(self, name: str) -> Iterator[Finding]:
        """Yields parameters that cannot be taken from other tasks."""
        own, kind, givers = self.facts[name].parameters, kind_of(self.job, name), dict[str, str]()
        for mapping in kind.parameter_mappings(self.job, name):
            theirs = self.facts.get(mapping.producer)
            if theirs is None:
                continue
            key = kind.mapping_key(self.job, name, mapping.producer)
            path, written = ("tasks", name, *key), key[0] != "needs"
            taken = {each: mapping.target(each) for each in theirs.parameters}
            pairs = [(each, target) for each, target in taken.items() if target in own]
            if not pairs:
                text = f"{mapping.pattern!r} matches no parameter of {mapping.producer} that this network has"
                hint = nearest(mapping.pattern, theirs.parameters) if written else f"; it has {', '.join(own)}"
                yield path, f"{text}{hint}"
            for each, target in pairs:
                if target is not None and own[target] != theirs.parameters[each]:
                    text = f"parameter {each} of {mapping.producer} has shape {theirs.parameters[each]}"
                    yield path, f"{text}, {target} here has {own[target]}; leave it out by a pattern in `initialise`"
                    break
            twice = _two_origins(self.facts[name], theirs, taken)
            if twice is not None:
                yield path, twice
            again = next((target for _, target in pairs if target in givers), None)
            if again is not None:
                text = f"parameter {again} is given by {givers[again]} as well"
                yield path, f"{text}; leave it out of one of the two by a pattern in `initialise`"
            givers.update({target: mapping.producer for _, target in pairs if target is not None})

    def _same_network(self, name: str, needs: FrameworkNeeds) -> Iterator[Finding]:
        """Yields an input on which a network would have other parameters than where it was trained."""
        if needs.objectives:
            return
        for producer in (key for key, need in self.job.tasks[name].needs.items() if need.kind == "parameters"):
            theirs, own = self.facts.get(producer), self.facts[name].parameters
            for each, shape in theirs.parameters.items() if theirs is not None else ():
                if own.get(each) != shape:
                    shapes = shapes_text(needs.samples or {})
                    text = f"samples of shape {shapes} do not fit the network of {producer}"
                    yield ("tasks", name, "input"), f"{text}: its {each} has shape {shape}, here {own.get(each)}"
                    break

    def _publish(self, name: str, facts: NetworkFacts) -> None:
        """Adds the shapes of the arrays that a task publishes, where only its network shows them."""
        published = kind_of(self.job, name).published_arrays(self.job, name, self.arrays)
        if len(published) == len(facts.outputs):
            for (array, spec), shape in zip(published.items(), facts.outputs, strict=True):
                if spec.shape is None:
                    self.arrays[f"{name}/{array}"] = replace(self.arrays.get(f"{name}/{array}", UNKNOWN), shape=shape)


def check_networks(
    job: Job, arrays: Mapping[str, ArraySpec], tasks: Collection[str], partly: Collection[str] = ()
) -> NetworkChecks:
    """Builds the networks of a sound job once, with one step of those in which users' objects take part.

    Args:
        job: a sound job.
        arrays: arrays by reference, as far as they are known before the job runs.
        tasks: tasks whose problems are wanted; the networks that they use are built as well.
        partly: tasks whose networks alone are checked, see `SoundPart`.

    Raises:
        UnknownFrameworkError: no framework has the name that a task asks for.
    """
    checks = NetworkChecks(job, dict(arrays), set(partly))
    for name in topological_order({name: task.needs for name, task in job.tasks.items()}):
        checks.check(name)
    bad = {path[1] for path, _ in checks.found}
    checks.found += check_built_coupling(job, {name: facts for name, facts in checks.facts.items() if name not in bad})
    others = set(job.tasks) - set(tasks)
    checks.found = [(path, text) for path, text in checks.found if path[0] != "tasks" or path[1] not in others]
    return checks


def _two_origins(own: NetworkFacts, theirs: NetworkFacts, taken: Mapping[str, str | None]) -> str | None:
    """Returns what is wrong where a parameter would take its values from two parameters of another task.

    Args:
        own: facts of the network that takes them.
        theirs: facts of the other task's network.
        taken: name there -> name here.
    """
    for group in own.tied:
        origins = [each for each, target in taken.items() if target in group]
        if origins and not theirs.with_tied(origins[:1]).issuperset(origins):
            text = f"{' and '.join(group)} are one parameter of this network (tied weights), but "
            return f"{text}{' and '.join(origins)} are several there; take one of them by a pattern in `initialise`"
    return None


def _is_of_user(needs: FrameworkNeeds) -> bool:
    """Returns true if network, losses or optimizer come from the user."""
    names = list(needs.loss_names)
    if needs.optimizer is not None:
        names += [needs.optimizer.name, *(each.name or "" for each in needs.optimizer.groups.values())]
    return bool(needs.network and user_models(needs.network)) or any(":" in name for name in names)


def _network_alone(needs: FrameworkNeeds) -> FrameworkNeeds:
    """Returns what a task asks of its framework to run its network, and not to train it."""
    plain = replace(needs, objectives=(), consistency=(), optimizer=None, freeze=(), sync_batchnorm=False)
    return replace(plain, precision="fp32", frozen_for_now=(), later_freeze=())

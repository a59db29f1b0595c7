"""Describes artifacts: the JSON text that an artifact carries, so that it can be used without its job file.

A parameters artifact holds it among the facts of its sealed file. A data artifact holds it as an attribute of its data
file, with a checksum. Artifacts of earlier versions of hpcmtl have none.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hpcmtl.networks.input_values import INPUT
from hpcmtl.networks.json_form import network_from_json, network_to_json
from hpcmtl.results.undefined import from_facts, to_facts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcmtl.networks.description import NetworkDescription

FORMAT = 1
FACT = "description"
"""Name of the description among the facts of a sealed file, and among the attributes of a data file."""
_CHECKSUM = "description_crc32"


@dataclass(frozen=True, kw_only=True)
class InputFormat:
    """The samples that a network takes.

    Attributes:
        reference: array of the job that it was trained on, ``source/dataset``.
        shape: shape of one sample.
        dtype: type of the values that the network gets.
        stored_dtype: type of the values in the data file.
        scale: factor by which stored values were multiplied; None for none.
        transforms: transforms that all samples get after that, with their numbers, as in a job file.
        transform_seed: seed of the random numbers of these.
        ragged: whether samples differ in length; the first number of `shape` is then that of the longest.
    """

    reference: str
    shape: tuple[int, ...]
    dtype: str
    stored_dtype: str
    scale: float | None = None
    transforms: tuple[Mapping[str, Any], ...] = ()
    transform_seed: int = 0
    ragged: bool = False


@dataclass(frozen=True, kw_only=True)
class OutputFormat:
    """One output of a network, or one array of a data artifact.

    Attributes:
        shape: shape of one sample; None where only building the network shows it.
        dtype: type of the values.
        loss: name of the loss that it was trained by; empty for an array.
        target: reference of the array of targets; empty for an array.
        classes: names of the classes, in the order of the scores; empty where they have none.
    """

    shape: tuple[int, ...] | None
    dtype: str = "float32"
    loss: str = ""
    target: str = ""
    classes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ParentRecord:
    """One thing that an artifact was made from.

    Attributes:
        name: name of the task or of the data file in the job.
        edge: kind of the edge to the task; ``file`` for a data file.
        path: absolute path of the data file; for a task the name of its artifact in the same folder.
    """

    name: str
    edge: str
    path: str


@dataclass(frozen=True, kw_only=True)
class ArtifactDescription:
    """All that is recorded of one artifact.

    Attributes:
        content: ``parameters`` of a network, or ``data``.
        job: name of the job.
        task: name of the task that made it.
        kind: kind of that task.
        framework: name of the framework of the network; empty without a network.
        network: the network that was trained, or whose outputs the data are; None without a network.
        part: part of the network whose output the data are; empty for the whole network.
        inputs: samples that the network takes, by the names of its inputs; empty without a network.
        outputs: name -> output of the network, in its order, or array of the data.
        metrics: metrics of the task by name.
        versions: name of a distribution -> version that made the artifact.
        parents: the tasks and data files that it was made from.
        modules: folders in which users' modules were looked for.
    """

    content: Literal["parameters", "data"]
    job: str
    task: str
    kind: str
    framework: str = ""
    network: NetworkDescription | None = None
    part: str = ""
    inputs: Mapping[str, InputFormat] = field(default_factory=dict)
    outputs: Mapping[str, OutputFormat] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    parents: tuple[ParentRecord, ...] = ()
    modules: tuple[str, ...] = ()

    @property
    def input(self) -> InputFormat | None:
        """The samples that a network with one input takes; None without a network, or where inputs have names."""
        return self.inputs.get(INPUT) if len(self.inputs) == 1 else None

    def to_json(self) -> dict[str, Any]:
        """Returns the description as JSON values; with one input they are those that earlier versions read."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__ if name not in _NESTED}
        return {
            **values,
            "format": FORMAT,
            "metrics": to_facts(self.metrics),
            "network": None if self.network is None else network_to_json(self.network),
            **self._inputs_to_json(),
            "outputs": [[name, asdict(each)] for name, each in self.outputs.items()],
            "parents": [asdict(each) for each in self.parents],
        }

    def _inputs_to_json(self) -> dict[str, Any]:
        if self.input is not None or not self.inputs:
            return {"input": None if self.input is None else _input_to_json(self.input)}
        return {"input": None, "inputs": [[name, _input_to_json(each)] for name, each in self.inputs.items()]}


_NESTED = frozenset({"network", "inputs", "outputs", "parents"})


def description_from_json(values: Mapping[str, Any]) -> ArtifactDescription:
    """Returns the description that `ArtifactDescription.to_json` wrote; keys that are not known are ignored.

    Raises:
        ValueError: the format is newer, or the values are no description.
    """
    if values.get("format") != FORMAT:
        raise ValueError(f"its description has format {values.get('format')}; this hpcmtl reads format {FORMAT}")
    try:
        plain = {name: values[name] for name in ArtifactDescription.__dataclass_fields__ if name not in _NESTED}
        network, only = values["network"], values["input"]
        inputs = values.get("inputs", [] if only is None else [[INPUT, only]])
        return ArtifactDescription(
            **{**plain, "metrics": from_facts(plain["metrics"]), "modules": tuple(plain["modules"])},
            network=None if network is None else network_from_json(network),
            inputs={str(name): _input(each) for name, each in inputs},
            outputs={str(name): _output(each) for name, each in values["outputs"]},
            parents=tuple(ParentRecord(**each) for each in values["parents"]),
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"its description cannot be read ({type(error).__name__}: {error})") from error


def file_attributes(description: ArtifactDescription) -> dict[str, Any]:
    """Returns the attributes by which a data file carries its description."""
    text = json.dumps(description.to_json()).encode()
    # Of fixed length: strings of variable length lie in a heap, and libhdf5 2.0 can loop for ever in a damaged one.
    return {FACT: np.bytes_(text), _CHECKSUM: zlib.crc32(text)}


def description_in(attributes: Mapping[str, Any]) -> ArtifactDescription | None:
    """Returns the description among the attributes of a data file; None if there is none.

    Raises:
        ValueError: it is damaged, or cannot be read.
    """
    if FACT not in attributes:
        return None
    text = bytes(attributes[FACT])
    if zlib.crc32(text) != attributes.get(_CHECKSUM):
        raise ValueError("its description differs from its checksum; the file was changed or damaged")
    return description_from_json(json.loads(text))


def _input_to_json(samples: InputFormat) -> dict[str, Any]:
    """Returns JSON values; without transforms they are those that earlier versions of hpcmtl read."""
    values = asdict(samples)
    return values if samples.transforms else {k: each for k, each in values.items() if not k.startswith("transform")}


def _input(values: Mapping[str, Any]) -> InputFormat:
    changed = {"shape": tuple(values["shape"]), "transforms": tuple(values.get("transforms", ()))}
    return InputFormat(**{**values, **changed})


def _output(values: Mapping[str, Any]) -> OutputFormat:
    shape = values["shape"]
    return OutputFormat(
        **{**values, "shape": None if shape is None else tuple(shape), "classes": tuple(values["classes"])}
    )

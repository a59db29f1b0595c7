"""Loads an artifact without its job file: `hpcmtl.load`."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py

from hpcmtl.data.hdf5 import describe, read_split
from hpcmtl.data.open_file import open_sealed
from hpcmtl.data.reader import open_array
from hpcmtl.data.transforming.transforms import TransformChain
from hpcmtl.data.values import check_intact
from hpcmtl.errors import InputError, Problem, nearest
from hpcmtl.exchange.store import PARAMETERS, DamagedFileError, read_sealed
from hpcmtl.frameworks.device import HOST
from hpcmtl.frameworks.registry import UnknownFrameworkError
from hpcmtl.jobfile.kinds import FrameworkNeeds
from hpcmtl.jobfile.transforms import from_json
from hpcmtl.networks.description import Shared, values_by_input
from hpcmtl.networks.json_form import user_models
from hpcmtl.training.artifacts.description import FACT, description_from_json, description_in
from hpcmtl.training.artifacts.loaded_network import LoadedNetwork
from hpcmtl.training.frameworks import open_framework

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from hpcmtl.arrays import Arrays
    from hpcmtl.frameworks.device import Device
    from hpcmtl.training.artifacts.description import ArtifactDescription

_log = logging.getLogger(__name__)

SPLIT = "split"
SHOWN = 12
"""Number of names that a message or a text has at most."""


class _NamedArrays(dict[str, "NDArray[Any]"]):
    """Arrays by name; an error for a wrong name has the valid ones."""

    def __missing__(self, name: object) -> NDArray[Any]:
        raise KeyError(f"there is no array {name!r}{nearest(str(name), self)}")


@dataclass(frozen=True, eq=False, repr=False)
class LoadedArtifact:
    """An artifact that a task published.

    Attributes:
        path: file of the artifact.
        arrays: name -> array. Those of a parameters artifact are the parameters of the network; those of a data
            artifact are (samples, ...), with ``split`` beside them.
        description: record of the artifact; None for a data file that no task made, and for an artifact that was
            written by an earlier version of hpcmtl.
        device: device that the network computes on.
    """

    path: Path
    arrays: Mapping[str, NDArray[Any]]
    description: ArtifactDescription | None
    device: Device = HOST

    def __repr__(self) -> str:
        known = self.description
        content = f"{known.content} of the {known.kind} task {known.task}" if known else "without a description"
        arrays = [f"{name} {array.shape}" for name, array in self.arrays.items()]
        more = "" if len(arrays) <= SHOWN else f", and {len(arrays) - SHOWN} more"
        return f"<artifact {self.path}: {content}; arrays {', '.join(arrays[:SHOWN])}{more}>"

    @cached_property
    def network(self) -> LoadedNetwork:
        """The network with the parameters of this artifact; built, and its framework imported, at the first use.

        Raises:
            InputError: the artifact describes no network, or the network cannot be built here.
            EnvironmentUnfitError: its framework cannot be imported, or has computed something already, so that a
                setting which this network needs comes too late.
        """
        known = self.description
        if known is None:
            text = "has no description: it is a data file, or was written by an earlier version of hpcmtl"
            raise self._refusal(f"{text}. It has arrays, but no network; load the artifact of a train or joint task")
        if known.network is None or not known.inputs:
            raise self._refusal(f"is made by a {known.kind} task, which has no network; only its arrays can be used")
        if known.content == "data":
            parents = " or ".join(parent.path for parent in known.parents if parent.edge == "parameters")
            raise self._refusal(f"holds outputs and no parameters; the network that made them is in {parents}")
        with self._named_modules(known):
            framework = open_framework(known.framework)
            shapes = {name: each.shape for name, each in known.inputs.items()}
            needs = FrameworkNeeds(network=known.network, samples=shapes)
            environment = framework.prepare_environment({known.task: needs})
            os.environ.update(environment.variables)
            network = framework.network(known.network, shapes, tuple(known.outputs), self.device)
            chains = {
                name: TransformChain(from_json(each.transforms), each.transform_seed)
                for name, each in known.inputs.items()
                if each.transforms
            }
        if environment.reason:
            _log.warning("%s: %s", self.path, environment.reason)
        network.load_parameters({PARAMETERS + name: array for name, array in self.arrays.items()})
        heads = tuple(name for name, _ in known.network.heads) if isinstance(known.network, Shared) else ()
        return LoadedNetwork(known.inputs, network, heads, values_by_input(known.network, known.inputs), chains)

    @contextmanager
    def _named_modules(self, known: ArtifactDescription) -> Iterator[None]:
        """Finds users' modules first where the run found them; afterwards these folders come last."""
        assert known.network is not None
        own = [*user_models(known.network), *_own_transforms(known)]
        folders = [folder for folder in known.modules if folder not in sys.path] if own else []
        sys.path[:0] = folders
        try:
            yield
        except UnknownFrameworkError as error:
            raise self._refusal(f"{error}; install the package that registers it") from error
        except InputError as error:
            gone = [folder for folder in known.modules if not Path(folder).is_dir()] if own else []
            hint = f"; it needs {', '.join(own)}, but {', '.join(gone)} is no folder any more" if gone else ""
            raise self._refusal(f"its network cannot be built: {error.in_one_line}{hint}") from error
        finally:
            for folder in folders:
                sys.path.remove(folder)
            sys.path += folders

    def _refusal(self, text: str) -> InputError:
        return InputError([Problem(str(self.path), text)])


def _own_transforms(known: ArtifactDescription) -> list[str]:
    """Returns the functions of the user's that samples get before a network."""
    given = [each for samples in known.inputs.values() for each in samples.transforms]
    return [each["name"] for each in given if ":" in each["name"]]


def load(path: str | os.PathLike[str], device: Device = HOST) -> LoadedArtifact:
    """Loads an artifact of a run, without the job file and without a framework.

    All values are read and compared with their checksums. A data file that no task made can be loaded as well: its
    `description` is None.

    Args:
        path: file of the artifact, as ``runs/NAME/artifacts/TASK.h5``.
        device: device that its network is to compute on.

    Raises:
        InputError: the file is missing or damaged, or was not written by hpcmtl.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError([Problem(str(file), _not_there(file))])
    try:
        arrays, description = _parameters(file) if _is_sealed(file) else _data(file)
    except (DamagedFileError, ValueError) as error:
        raise InputError([Problem(str(file), str(error))]) from error
    return LoadedArtifact(file, _NamedArrays(arrays), description, device)


def _not_there(file: Path) -> str:
    """Returns what to load in place of a path that is no file."""
    if file.is_dir():
        found = sorted(file.glob("artifacts/*.h5")) or sorted(file.glob("*.h5"))
        names = ", ".join(str(each.relative_to(file)) for each in found[:SHOWN])
        return f"is a folder; load one file of it{f': {names}' if found else ', as artifacts/TASK.h5 of a run'}"
    there = sorted(each.stem for each in file.parent.glob("*.h5"))
    if not there:
        return f"does not exist, and {file.parent} has no artifacts"
    text = "evaluate tasks, and python tasks without `outputs`, publish none"
    return f"does not exist; {file.parent} has those of {', '.join(there[:SHOWN])} ({text})"


def _is_sealed(file: Path) -> bool:
    """Returns true for a file of `exchange.store`, false for a data file or for anything else."""
    try:
        with h5py.File(file, "r", locking=False) as opened:
            return "hpcmtl_sealed" in opened.attrs
    except OSError:
        return False  # the reader of data files says what is wrong


def _parameters(file: Path) -> tuple[Arrays, ArtifactDescription | None]:
    arrays, facts = read_sealed(file)
    description = description_from_json(facts[FACT]) if FACT in facts else None
    return {name.removeprefix(PARAMETERS): array for name, array in arrays.items()}, description


def _data(file: Path) -> tuple[Arrays, ArtifactDescription | None]:
    names: Sequence[str] = [*describe(file).datasets]
    with open_sealed(file) as opened:
        description = description_in(opened.attrs)
    check_intact(file, names)
    arrays: Arrays = {}
    for name in names:
        with open_array(file, name) as reader:
            arrays[name] = reader.exact()
    return {**arrays, SPLIT: read_split(file)}, description

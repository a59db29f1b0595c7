"""Loads an artifact without its job file: `hpcmtl.load`."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from hpcmtl.data.hdf5 import describe, read_split
from hpcmtl.data.open_file import open_sealed
from hpcmtl.data.reader import open_array
from hpcmtl.data.values import check_intact
from hpcmtl.errors import InputError, Problem
from hpcmtl.exchange.store import PARAMETERS, DamagedFileError, read_sealed
from hpcmtl.frameworks.device import HOST
from hpcmtl.frameworks.registry import UnknownFrameworkError
from hpcmtl.networks.json_form import user_models
from hpcmtl.training.artifacts.description import FACT, description_from_json, description_in
from hpcmtl.training.frameworks import open_framework

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from hpcmtl.arrays import Arrays
    from hpcmtl.frameworks.device import Device
    from hpcmtl.training.artifacts.description import ArtifactDescription, InputFormat
    from hpcmtl.training.learner import Network

SPLIT = "split"
BATCH = 256
"""Number of samples that a loaded network runs at once, unless the caller gives another one."""


@dataclass(frozen=True, eq=False)
class LoadedNetwork:
    """A trained network that was built from an artifact.

    Attributes:
        samples: the samples that it takes.
        network: the framework's network, with the parameters of the artifact.
    """

    samples: InputFormat
    network: Network

    def outputs(self, array: NDArray[Any], part: str | None = None, batch_size: int = BATCH) -> Arrays:
        """Runs the network.

        Args:
            array: (n, *shape of a sample). Integers of the type in the data file are multiplied by the recorded scale,
                as they were for the training.
            part: name of a part whose output is wanted; by default the outputs of the whole network.
            batch_size: number of samples that are run at once.

        Returns:
            Name of the objective -> (n, ...); with `part` its output as ``values``.

        Raises:
            InputError: the samples have another shape, or the network has no such part.
        """
        samples = self._samples(np.asarray(array))
        starts = range(0, len(samples), batch_size)
        made = [self.network.outputs(samples[start : start + batch_size], part) for start in starts]
        return {name: np.concatenate([each[name] for each in made]) for name in made[0]}

    def _samples(self, array: NDArray[Any]) -> NDArray[Any]:
        known = self.samples
        if array.shape[1:] != known.shape or not len(array):
            text = f"found an array of shape {array.shape}; the network takes (n, {', '.join(map(str, known.shape))})"
            raise InputError([Problem("outputs", f"{text} with n of at least 1, as {known.reference} has")])
        dtype = np.dtype(known.dtype)
        if known.scale is not None and array.dtype == np.dtype(known.stored_dtype):
            return np.multiply(array, dtype.type(known.scale), dtype=dtype, casting="same_kind")
        return array.astype(dtype, copy=False)


@dataclass(frozen=True, eq=False)
class LoadedArtifact:
    """An artifact that a task published.

    Attributes:
        path: file of the artifact.
        arrays: name -> array. Those of a parameters artifact are the parameters of the network; those of a data
            artifact are (samples, ...), with ``split`` beside them.
        description: record of the artifact; None if it was written by an earlier version of hpcmtl.
        device: device that the network computes on.
    """

    path: Path
    arrays: Mapping[str, NDArray[Any]]
    description: ArtifactDescription | None
    device: Device = HOST

    @cached_property
    def network(self) -> LoadedNetwork:
        """The network with the parameters of this artifact; built, and its framework imported, at the first use.

        Raises:
            InputError: the artifact describes no network, or the network cannot be built here.
            EnvironmentUnfitError: its framework cannot be imported.
        """
        known = self.description
        if known is None:
            text = "has no description, as written by an earlier version of hpcmtl: its arrays can be used, but its"
            raise self._refusal(f"{text} network cannot be built. Run its task again, or take the network from a job")
        if known.network is None or known.input is None:
            raise self._refusal(f"is made by a {known.kind} task, which has no network; only its arrays can be used")
        if known.content == "data":
            parents = " or ".join(parent.path for parent in known.parents if parent.edge == "parameters")
            raise self._refusal(f"holds outputs and no parameters; the network that made them is in {parents}")
        with self._named_modules(known):
            framework = open_framework(known.framework)
            network = framework.network(known.network, known.input.shape, tuple(known.outputs), self.device)
        network.load_parameters({PARAMETERS + name: array for name, array in self.arrays.items()})
        return LoadedNetwork(known.input, network)

    @contextmanager
    def _named_modules(self, known: ArtifactDescription) -> Iterator[None]:
        """Finds users' modules first where the run found them; afterwards these folders come last."""
        assert known.network is not None
        own = user_models(known.network)
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


def load(path: str | os.PathLike[str], device: Device = HOST) -> LoadedArtifact:
    """Loads an artifact of a run, without the job file and without a framework.

    All values are read and compared with their checksums.

    Args:
        path: file of the artifact, as ``runs/NAME/artifacts/TASK.h5``.
        device: device that its network is to compute on.

    Raises:
        InputError: the file is missing or damaged, or is no artifact of hpcmtl.
    """
    file = Path(path)
    try:
        arrays, description = _parameters(file) if _is_sealed(file) else _data(file)
    except (DamagedFileError, ValueError) as error:
        raise InputError([Problem(str(file), str(error))]) from error
    return LoadedArtifact(file, arrays, description, device)


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

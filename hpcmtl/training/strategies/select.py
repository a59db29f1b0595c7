"""Choice of the synchronisation strategy of a group, from the settings of its task."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.training.collectives.select import choose_collective, open_collective
from hpcmtl.training.strategies.aggregators import MeanAggregator
from hpcmtl.training.strategies.allreduce import AllreduceParts, AllreduceStrategy, arrays_of, common_kind
from hpcmtl.training.strategies.compressors import Fp16Compressor, NoCompression

if TYPE_CHECKING:
    from hpcmtl.communicators.base import Communicator
    from hpcmtl.training.collectives.base import Collective
    from hpcmtl.training.framework import Framework
    from hpcmtl.training.learner import Learner
    from hpcmtl.training.strategies.compressors import Compressor

_log = logging.getLogger(__name__)

_TRIALS = 5


@dataclass(frozen=True)
class StrategySettings:
    """Settings of the synchronisation, equal on all ranks of the group.

    Attributes:
        engine: name of the collective, as in the job file.
        compression: `none`, `fp16`, or `auto` for the faster of both, measured.
        scales_loss: whether gradients need a loss scale, whatever the compression.
    """

    engine: str
    compression: str = "none"
    scales_loss: bool = False


def open_strategy(
    settings: StrategySettings, learner: Learner, framework: Framework, group: Communicator
) -> AllreduceStrategy:
    """Opens the strategy that `settings` ask for on a group (collective).

    Args:
        settings: settings of the task.
        learner: learner of this rank; the measurement of `auto` uses its gradients.
        framework: framework of the learner.
        group: ranks that train together.

    Raises:
        EnvironmentUnfitError: no collective may take the place of the one that is asked for.
    """
    factories = framework.collectives()
    choice = choose_collective(settings.engine, group, factories, learner.device)
    replaced = group.size > 1 and choice.name != settings.engine.rstrip("!")
    if group.rank == 0:
        _log.log(logging.WARNING if replaced else logging.DEBUG, "engine %s: %s", choice.name, choice.reason)
    collective = open_collective(choice, group, factories)
    try:
        make = framework.compressors().get("fp16") if collective.takes == "native" else Fp16Compressor
        fp16 = None if make is None or collective.size == 1 else make()
        compressor, text = _choose_compressor(settings.compression, fp16, collective, learner, group)
    except BaseException:
        collective.close()  # some exist once a process: left open, it is lost to all later tasks
        raise
    parts = AllreduceParts(
        choice=choice,
        collective=collective,
        compressor=compressor,
        compression=text,
        aggregator=MeanAggregator(),
        scales_loss=settings.scales_loss or compressor.scales_loss,
    )
    return AllreduceStrategy(group, parts)


def _choose_compressor(
    asked: str, fp16: Compressor | None, collective: Collective, learner: Learner, group: Communicator
) -> tuple[Compressor, str]:
    """Returns the compressor, and the text on it for the results."""
    if asked == "none":
        return NoCompression(), "none"
    if fp16 is None:
        return NoCompression(), "none (one rank)" if collective.size == 1 else f"none ({collective.name} has no fp16)"
    if asked == "fp16":
        return fp16, "fp16"
    if fp16_pays(fp16, collective, learner, group):
        return fp16, "fp16 (measured faster)"
    return NoCompression(), "none (fp16 measured slower)"


def fp16_pays(fp16: Compressor, collective: Collective, learner: Learner, group: Communicator) -> bool:
    """Measures means of the learner's gradients with and without fp16 (collective).

    Returns:
        Whether fp16 was faster, as the first rank measured it; the same on all ranks.
    """
    seconds: dict[Compressor, list[float]] = {NoCompression(): [], fp16: []}
    for _ in range(_TRIALS):
        for compressor, samples in seconds.items():
            learner.gradients_finite()  # waits for the gradients; before the views, which the next call may end
            gradients = arrays_of(learner, "gradients", common_kind(collective, fp16))
            start = time.perf_counter()
            compressed = compressor.compress(gradients)
            collective.mean(compressed)
            compressor.decompress(compressed, gradients)
            learner.gradients_finite()
            samples.append(time.perf_counter() - start)
    plain, halves = (float(np.median(samples)) for samples in seconds.values())
    return bool(group.bcast(halves < plain))

"""The methods that combine objectives, by name: the only list of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpcmtl.errors import InputError, Problem, nearest
from hpcmtl.jobfile.explanations import findings
from hpcmtl.training.multitask.method import CombinationMethod
from hpcmtl.training.multitask.shards.adatask import AdaTask, AdaTaskOptions
from hpcmtl.training.multitask.shards.averages import (
    DecayingAverageOptions,
    ExcessRows,
    GradientAverage,
    LogGradientAverage,
)
from hpcmtl.training.multitask.shards.graddrop import GradDrop, GradDropOptions
from hpcmtl.training.multitask.shards.trimmed_mean import TrimmedMean, TrimmedMeanOptions
from hpcmtl.training.multitask.solvers.descent import DescentOptions
from hpcmtl.training.multitask.weightings.aligned_mtl import AlignedMtl, AlignedMtlOptions
from hpcmtl.training.multitask.weightings.auto_lambda import AutoLambda, AutoLambdaOptions
from hpcmtl.training.multitask.weightings.base import NoOptions
from hpcmtl.training.multitask.weightings.cagrad import CAGrad, CAGradOptions
from hpcmtl.training.multitask.weightings.config import ConFig
from hpcmtl.training.multitask.weightings.db_mtl import DbMtl
from hpcmtl.training.multitask.weightings.dwa import Dwa, DwaOptions
from hpcmtl.training.multitask.weightings.equal import Equal, Fixed, FixedOptions
from hpcmtl.training.multitask.weightings.excess_mtl import ExcessMtl, ExcessMtlOptions
from hpcmtl.training.multitask.weightings.fairgrad import FairGrad, FairGradOptions
from hpcmtl.training.multitask.weightings.famo import Famo, FamoOptions
from hpcmtl.training.multitask.weightings.gls import Gls, LogLoss
from hpcmtl.training.multitask.weightings.gradnorm import GradNorm, GradNormOptions
from hpcmtl.training.multitask.weightings.gradvac import GradVac, GradVacOptions
from hpcmtl.training.multitask.weightings.imtl_g import ImtlG
from hpcmtl.training.multitask.weightings.imtl_l import ImtlL
from hpcmtl.training.multitask.weightings.mgda import Mgda, MgdaOptions
from hpcmtl.training.multitask.weightings.modo import MoCo, MoCoOptions, MoDo, MoDoOptions
from hpcmtl.training.multitask.weightings.nash_mtl import NashMtl, NashMtlOptions
from hpcmtl.training.multitask.weightings.pcgrad import PCGrad
from hpcmtl.training.multitask.weightings.rlw import Rlw
from hpcmtl.training.multitask.weightings.sdmgrad import SdmGrad, SdmGradOptions
from hpcmtl.training.multitask.weightings.stch import Stch, StchOptions
from hpcmtl.training.multitask.weightings.uncertainty import Uncertainty
from hpcmtl.training.multitask.weightings.upgrad import DualConeOptions, DualProj, UPGrad

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hpcmtl.networks.spec import Spec
    from hpcmtl.training.multitask.shards.rows import GradientCombiner, RowTransform
    from hpcmtl.training.multitask.weighting import Weighting
    from hpcmtl.training.multitask.weightings.base import WeightingSetup


@dataclass(frozen=True)
class _Entry:
    """The parts of a method, made from the setup and the checked options."""

    options: type[Spec]
    weighting: Callable[[WeightingSetup, Any], Weighting] | None = None
    transform: Callable[[Any], RowTransform] | None = None
    combiner: Callable[[WeightingSetup, Any], GradientCombiner] | None = None


_ENTRIES: Mapping[str, _Entry] = {
    "equal": _Entry(NoOptions, Equal),
    "fixed": _Entry(FixedOptions, Fixed),
    "uncertainty": _Entry(DescentOptions, Uncertainty),
    "dwa": _Entry(DwaOptions, Dwa),
    "rlw": _Entry(NoOptions, Rlw),
    "gls": _Entry(NoOptions, Gls),
    "log": _Entry(NoOptions, LogLoss),
    "imtl_l": _Entry(DescentOptions, ImtlL),
    "stch": _Entry(StchOptions, Stch),
    "famo": _Entry(FamoOptions, Famo),
    "gradnorm": _Entry(GradNormOptions, GradNorm),
    "auto_lambda": _Entry(AutoLambdaOptions, AutoLambda),
    "mgda": _Entry(MgdaOptions, Mgda),
    "pcgrad": _Entry(NoOptions, PCGrad),
    "gradvac": _Entry(GradVacOptions, GradVac),
    "cagrad": _Entry(CAGradOptions, CAGrad),
    "imtl_g": _Entry(NoOptions, ImtlG),
    "nash_mtl": _Entry(NashMtlOptions, NashMtl),
    "fairgrad": _Entry(FairGradOptions, FairGrad),
    "aligned_mtl": _Entry(AlignedMtlOptions, AlignedMtl),
    "upgrad": _Entry(DualConeOptions, UPGrad),
    "dualproj": _Entry(DualConeOptions, DualProj),
    "config": _Entry(NoOptions, ConFig),
    "sdmgrad": _Entry(SdmGradOptions, SdmGrad),
    "modo": _Entry(MoDoOptions, MoDo),
    "moco": _Entry(MoCoOptions, MoCo, GradientAverage),
    "db_mtl": _Entry(DecayingAverageOptions, DbMtl, LogGradientAverage),
    "excess_mtl": _Entry(ExcessMtlOptions, ExcessMtl, lambda _: ExcessRows()),
    "graddrop": _Entry(GradDropOptions, combiner=GradDrop),
    "adatask": _Entry(AdaTaskOptions, combiner=lambda _, options: AdaTask(options)),
    "trimmed_mean": _Entry(TrimmedMeanOptions, combiner=TrimmedMean),
}
_SUMS = frozenset({"sum", "weighted_sum", "linear", "none"})
METHODS = tuple(_ENTRIES)
"""Names of all methods."""


def make_method(
    name: str, options: Mapping[str, Any], setup: WeightingSetup, where: str = "weighting"
) -> CombinationMethod:
    """Makes a method from its name and options.

    Args:
        name: one of `METHODS`.
        options: options of the method by name; those left out have their defaults.
        setup: facts of the task.
        where: file and key of the name, for messages.

    Raises:
        InputError: there is no such method or option, or a value does not fit; all problems at once.
    """
    if name not in _ENTRIES:
        remedy = (
            "; the sum of the losses is the default: leave `weighting` out" if name in _SUMS else nearest(name, METHODS)
        )
        raise InputError([Problem(f"{where}.name", f"unknown weighting {name!r}{remedy}")])
    entry = _ENTRIES[name]
    if problems := [Problem(".".join((where, *path)), text) for path, text in findings(entry.options, dict(options))]:
        raise InputError(problems)
    values = entry.options.model_validate(dict(options))
    try:
        return CombinationMethod(
            weighting=None if entry.weighting is None else entry.weighting(setup, values),
            transform=None if entry.transform is None else entry.transform(values),
            combiner=None if entry.combiner is None else entry.combiner(setup, values),
        )
    except InputError as error:
        raise InputError([Problem(f"{where}.{each.where}", each.message) for each in error.problems]) from None

"""The adoption of data files by all ranks of a world: each reads a share of the values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.communicators.outcome import on_root
from hpcmtl.data.adopting.adopt import write_adopted
from hpcmtl.data.adopting.plan import plan_adoption
from hpcmtl.data.adopting.survey import joined_surveys, survey
from hpcmtl.data.streamed_file import require_free

if TYPE_CHECKING:
    from hpcmtl.communicators.base import Communicator
    from hpcmtl.data.adopting.order import AdoptionOrder
    from hpcmtl.data.adopting.plan import AdoptionPlan
    from hpcmtl.data.stages import StageReport


def adopt_together(world: Communicator, order: AdoptionOrder, report: StageReport) -> AdoptionPlan:
    """Adopts plain HDF5 files (collective over `world`); rank 0 reads the metadata and writes the file.

    Args:
        world: the ranks, which all see the files.
        order: the request; only that of rank 0 counts.
        report: callback with the stage and the share of this rank's work that is done.

    Raises:
        InputError: files or values that cannot be used, on all ranks; no file is written.
        OSError: the file system refused, on all ranks; no file is written.
    """

    def planned() -> AdoptionPlan:
        require_free(order.out, overwrite=order.overwrite)
        return plan_adoption(order, report)

    plan = on_root(world, planned)
    parts = world.gather(survey(plan, world.rank, world.size, report))
    on_root(world, lambda: write_adopted(order.out, plan, joined_surveys(parts or [])))
    return plan

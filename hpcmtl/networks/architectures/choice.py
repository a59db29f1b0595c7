"""The architectures that a job file can name."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Tag

from hpcmtl.networks.architectures.cross_stitch import CrossStitch
from hpcmtl.networks.architectures.extraction import Cgc, Ple
from hpcmtl.networks.architectures.mixtures import DSelectK, Mmoe
from hpcmtl.networks.architectures.mtan import Mtan
from hpcmtl.networks.spec import Spec, tag_of_name

ARCHITECTURES = ("hard_sharing", "cross_stitch", "mmoe", "cgc", "ple", "mtan", "dselect_k")
"""Names of all architectures."""


class HardSharing(Spec):
    """One trunk, whose output all heads take."""

    name: Literal["hard_sharing"] = "hard_sharing"


def _named(value: Any) -> Any:
    """Turns a name alone into an architecture without options."""
    return {"name": value} if isinstance(value, str) else value


_Branching = (
    Annotated[CrossStitch, Tag("cross_stitch")]
    | Annotated[Mmoe, Tag("mmoe")]
    | Annotated[Cgc, Tag("cgc")]
    | Annotated[Ple, Tag("ple")]
    | Annotated[Mtan, Tag("mtan")]
    | Annotated[DSelectK, Tag("dselect_k")]
)
BranchingChoice = Annotated[_Branching, Discriminator(tag_of_name)]
ArchitectureChoice = Annotated[
    Annotated[HardSharing, Tag("hard_sharing")] | _Branching, Discriminator(tag_of_name), BeforeValidator(_named)
]

"""The key of a joint task for the architecture of its network."""

from __future__ import annotations

from pydantic import Field

from hpcmtl.networks.architectures.choice import ArchitectureChoice, HardSharing
from hpcmtl.networks.spec import Spec


class ArchitectureKeys(Spec):
    """The key that says what the heads of a joint task share."""

    architecture: ArchitectureChoice = Field(
        default=HardSharing(), description="what the heads share, e.g. mmoe; default: one trunk"
    )

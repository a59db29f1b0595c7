"""The models that a job file can name: those of the zoo, and users' own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Discriminator, Tag

from hpcmtl.networks.fusion import Fusion
from hpcmtl.networks.models import ConvAutoencoder, ConvNet, EmbeddingRnn, Mlp, UserModel
from hpcmtl.networks.spec import tag_of_name

if TYPE_CHECKING:
    from hpcmtl.networks.spec import Spec

ZOO: dict[str, type[Spec]] = {
    "mlp": Mlp,
    "convnet": ConvNet,
    "conv_autoencoder": ConvAutoencoder,
    "embedding_rnn": EmbeddingRnn,
    "fusion": Fusion,
}


Model = Annotated[
    Annotated[Mlp, Tag("mlp")]
    | Annotated[ConvNet, Tag("convnet")]
    | Annotated[ConvAutoencoder, Tag("conv_autoencoder")]
    | Annotated[EmbeddingRnn, Tag("embedding_rnn")]
    | Annotated[Fusion, Tag("fusion")]
    | Annotated[UserModel, Tag("user")],
    Discriminator(tag_of_name),
]

"""The recurrent model of the zoo in PyTorch: tokens to vectors, a recurrent layer, and one vector for each sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcmtl.training.torch.compat import import_torch

if TYPE_CHECKING:
    from hpcmtl.networks.models import EmbeddingRnn

torch = import_torch()
nn = torch.nn
_Module: Any = nn.Module
_CELLS = {"gru": nn.GRU, "lstm": nn.LSTM}


class RecurrentModule(_Module):
    """Embedding and recurrent layer over tokens (n, length) int64; returns a vector for each sample or each token."""

    def __init__(self, model: EmbeddingRnn) -> None:
        super().__init__()
        self._pooling = None if model.per_token else model.pooling
        self.embedding = nn.Embedding(model.vocabulary, model.embedding)
        self.rnn = _CELLS[model.cell](model.embedding, model.hidden, batch_first=True)
        for name, parameter in self.named_parameters():  # those of Gluon's models
            (nn.init.xavier_uniform_ if "weight" in name else nn.init.zeros_)(parameter)

    def forward(self, tokens: Any) -> Any:
        """Returns the mean of the states at tokens that are no padding, the state at the last of them, or all states.

        No state depends on padding behind its token.
        """
        states, _ = self.rnn(self.embedding(tokens))
        if self._pooling is None:
            return states
        real = (tokens != 0).to(states.dtype)
        if self._pooling == "mean":
            weights = real / real.sum(dim=1, keepdim=True).clamp(min=1)
        else:
            places = real * torch.arange(1, tokens.shape[1] + 1, dtype=states.dtype, device=tokens.device)
            weights = real * (places == places.amax(dim=1, keepdim=True)).to(states.dtype)
        return (states * weights.unsqueeze(2)).sum(dim=1)

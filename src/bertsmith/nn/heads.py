"""The one extra layer: small networks that read an encoder's hidden states, learned from scratch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from bertsmith.nn.layers import ACTIVATIONS
from bertsmith.nn.layout import Reads

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bertsmith.nn.encoder import Encoder
    from bertsmith.nn.layout import Layout


class Head(nn.Module):
    """A head: says which tokens it reads, gives named outputs, and knows the form that its weights are kept in."""

    reads: Reads

    def forward(self, hidden: Tensor, layout: Layout) -> dict[str, Tensor]:
        """Named outputs with one row for each hidden state that the head reads."""
        raise NotImplementedError

    def to_checkpoint(self) -> dict[str, Tensor]:
        """The weights as a bundle keeps them, by name."""
        return {name: tensor.detach().cpu().clone() for name, tensor in self.state_dict().items()}

    def from_checkpoint(self, state: Mapping[str, Tensor]) -> None:
        """Take the weights that `to_checkpoint` gave."""
        self.load_state_dict(state, assign=True)


class SequenceHead(Head):
    """Reads the first token: dense, activation, dropout, linear (Devlin et al. 2019, §3.2 and §4.1)."""

    reads = Reads.FIRST

    def __init__(self, *, width: int, outputs: int, activation: str, dropout: float, dropout_before: bool) -> None:
        super().__init__()
        self.dropout_before = nn.Dropout(dropout if dropout_before else 0.0)
        self.dense = nn.Linear(width, width)
        self.activation = ACTIVATIONS[activation]
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(width, outputs)
        self._scale, self._shift = 1.0, 0.0

    def answer_in(self, *, scale: float, shift: float) -> None:
        """Learn standardised numbers, but give them in the data's units: ``output * scale + shift``."""
        self._scale, self._shift = scale, shift

    def forward(self, first_SD: Tensor, layout: Layout) -> dict[str, Tensor]:
        """``{"logits": [S, O]}``."""
        dense_SD = self.activation(self.dense(self.dropout_before(first_SD)))
        return {"logits": self.output(self.dropout(dense_SD)) * self._scale + self._shift}

    def to_checkpoint(self) -> dict[str, Tensor]:
        """The weights with the units folded into the last layer, so that any reader has them."""
        state = super().to_checkpoint()
        state["output.weight"] *= self._scale
        state["output.bias"] = state["output.bias"] * self._scale + self._shift
        return state

    def from_checkpoint(self, state: Mapping[str, Tensor]) -> None:
        super().from_checkpoint(state)
        self._scale, self._shift = 1.0, 0.0


class TokenHead(Head):
    """Reads every token: dropout, linear (Devlin et al. 2019, §4.2 for spans, §5.3 for tags).

    For spans it has two outputs, the scores of a token as start and as end, each with weights of its own.
    """

    reads = Reads.ALL

    def __init__(self, *, width: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(width, outputs)

    def forward(self, hidden_TD: Tensor, layout: Layout) -> dict[str, Tensor]:
        """``{"logits": [T, O]}``."""
        return {"logits": self.output(self.dropout(hidden_TD))}


class Model(nn.Module):
    """An encoder and the head that reads it."""

    def __init__(self, encoder: Encoder, head: Head) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head

    def hidden(self, id_T: Tensor, segment_T: Tensor, layout: Layout) -> Tensor:
        """The hidden states that the head reads: ``[S, D]`` or ``[T, D]``, as its `reads` says."""
        return self.encoder(id_T, segment_T, layout, reads=self.head.reads)  # type: ignore[no-any-return]

    def forward(self, id_T: Tensor, segment_T: Tensor, layout: Layout) -> dict[str, Tensor]:
        """The head's outputs, by name."""
        return self.head(self.hidden(id_T, segment_T, layout), layout)  # type: ignore[no-any-return]

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.encoder.embeddings.word.weight.device

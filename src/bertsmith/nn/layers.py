"""The parts that an encoder is composed of: activations, attention, feed-forward, one transformer layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import torch.nn.functional as F
from torch import Tensor, nn

from bertsmith.nn.attention import attend, attend_from
from bertsmith.nn.dropout import Dropout
from bertsmith.nn.layout import Reads

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import torch

    from bertsmith.nn.layout import Layout


def _gelu_tanh(x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh")


# By the names of Hugging Face configs.
ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_new": _gelu_tanh,
    "gelu_pytorch_tanh": _gelu_tanh,
    "relu": F.relu,
    "silu": F.silu,
    "swish": F.silu,
    "tanh": F.tanh,
}


class Linear(nn.Linear):
    """A linear layer that computes in the type of what it is given."""

    _copies: tuple[Tensor, Tensor] | None = None
    _copied_from: tuple[int, int] | None = None

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, *self.in_type(x.dtype))

    def in_type(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Weight and bias in a type."""
        if self._copies is not None and self._copies[0].dtype == dtype and self._copied_from == self._state():
            return self._copies
        return self.weight.to(dtype), self.bias.to(dtype)

    def prepare(self, dtype: torch.dtype) -> None:
        """Keep copies in a type, so that small batches need not wait for them.

        Training lets go of them, and weights that have changed or moved since have none.
        """
        self._copies, self._copied_from = None, self._state()
        if dtype != self.weight.dtype:
            self._copies = (self.weight.detach().to(dtype), self.bias.detach().to(dtype))

    def _state(self) -> tuple[int, int]:
        """What differs once the weights are others: where they lie, and how often they were written to."""
        return self.weight.data_ptr(), self.weight._version

    def train(self, mode: bool = True) -> Self:
        if mode:
            self._copies = None
        return super().train(mode)


class LayerNorm(nn.LayerNorm):
    """A norm that gives the type of what it is given, and computes in float32."""

    def forward(self, x: Tensor) -> Tensor:
        if x.dtype == self.weight.dtype or x.device.type == "cpu":  # processors mix types by themselves
            return super().forward(x)
        return super().forward(x.to(self.weight.dtype)).to(x.dtype)


class SelfAttention(nn.Module):
    """Multi-head self-attention with its output projection; query, key and value are one product."""

    def __init__(self, *, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query_key_value = Linear(width, 3 * width)
        self.output = Linear(width, width)

    def forward(self, hidden_TD: Tensor, layout: Layout) -> Tensor:
        dropout = self.dropout if self.training else 0.0
        attended_TD = attend(self.query_key_value(hidden_TD), layout, heads=self.heads, dropout=dropout)
        return self.output(attended_TD)  # type: ignore[no-any-return]

    def of_read(self, hidden_TD: Tensor, read_RD: Tensor, layout: Layout, *, reads: Reads) -> Tensor:
        """What `forward` gives for the tokens that are read, ``[R, D]``, without computing the others.

        read_RD: their rows of `hidden_TD`.
        """
        width = hidden_TD.shape[1]
        weight, bias = self.query_key_value.in_type(hidden_TD.dtype)
        query_RD = F.linear(read_RD, weight[:width], bias[:width])
        key_value_T2D = F.linear(hidden_TD, weight[width:], bias[width:])
        dropout = self.dropout if self.training else 0.0
        attended_RD = attend_from(query_RD, key_value_T2D, layout, reads=reads, heads=self.heads, dropout=dropout)
        return self.output(attended_RD)  # type: ignore[no-any-return]


class FeedForward(nn.Module):
    """Two linear layers with an activation between them."""

    def __init__(self, *, width: int, inner_width: int, activation: str) -> None:
        super().__init__()
        self.inner = Linear(width, inner_width)
        self.output = Linear(inner_width, width)
        self.activation = ACTIVATIONS[activation]

    def forward(self, hidden_TD: Tensor) -> Tensor:
        return self.output(self.activation(self.inner(hidden_TD)))  # type: ignore[no-any-return]


class Layer(nn.Module):
    """Attention and feed-forward, each followed by dropout, a residual sum and a norm (post-norm, as in BERT)."""

    def __init__(
        self,
        *,
        attention: SelfAttention,
        feed_forward: FeedForward,
        width: int,
        norm_epsilon: float,
        dropout: float,
    ) -> None:
        super().__init__()
        self.attention = attention
        self.attention_norm = LayerNorm(width, eps=norm_epsilon)
        self.feed_forward = feed_forward
        self.feed_forward_norm = LayerNorm(width, eps=norm_epsilon)
        self.dropout = Dropout(dropout)

    def forward(self, hidden_TD: Tensor, layout: Layout, *, reads: Reads = Reads.ALL) -> Tensor:
        """``[T, D]`` to what `reads` asks for: ``[S, D]``, the first token of each sequence, ``[C, D]`` or all."""
        if reads is Reads.ALL:
            residual = hidden_TD
            attended = self.attention(hidden_TD, layout)
        else:
            residual = hidden_TD.index_select(0, layout.places(reads))
            attended = self.attention.of_read(hidden_TD, residual, layout, reads=reads)
        hidden = self.attention_norm(self.dropout.add(residual, attended))
        return self.feed_forward_norm(self.dropout.add(hidden, self.feed_forward(hidden)))  # type: ignore[no-any-return]

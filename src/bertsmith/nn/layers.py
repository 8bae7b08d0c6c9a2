"""The parts that an encoder is composed of: activations, attention, feed-forward, one transformer layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor, nn

from bertsmith.nn.attention import attend, attend_from_first
from bertsmith.nn.layout import Reads

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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


class SelfAttention(nn.Module):
    """Multi-head self-attention with its output projection; query, key and value are one product."""

    def __init__(self, *, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query_key_value = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)

    def forward(self, hidden_TD: Tensor, layout: Layout) -> Tensor:
        return self.output(self._attended(hidden_TD, layout))  # type: ignore[no-any-return]

    def of_chosen(self, hidden_TD: Tensor, layout: Layout) -> Tensor:
        """What `forward` gives for the chosen tokens, ``[C, D]``, without projecting the others' output."""
        return self.output(self._attended(hidden_TD, layout).index_select(0, layout.chosen_C))  # type: ignore[no-any-return]

    def from_first(self, hidden_TD: Tensor, first_SD: Tensor, layout: Layout) -> Tensor:
        """What `forward` gives for the first token of each sequence, without computing the others."""
        width = hidden_TD.shape[1]
        weight, bias = self.query_key_value.weight, self.query_key_value.bias
        query_SD = F.linear(first_SD, weight[:width], bias[:width])
        key_value_T2D = F.linear(hidden_TD, weight[width:], bias[width:])
        dropout = self.dropout if self.training else 0.0
        attended_SD = attend_from_first(query_SD, key_value_T2D, layout, heads=self.heads, dropout=dropout)
        return self.output(attended_SD)  # type: ignore[no-any-return]

    def _attended(self, hidden_TD: Tensor, layout: Layout) -> Tensor:
        dropout = self.dropout if self.training else 0.0
        return attend(self.query_key_value(hidden_TD), layout, heads=self.heads, dropout=dropout)


class FeedForward(nn.Module):
    """Two linear layers with an activation between them."""

    def __init__(self, *, width: int, inner_width: int, activation: str) -> None:
        super().__init__()
        self.inner = nn.Linear(width, inner_width)
        self.output = nn.Linear(inner_width, width)
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
        self.attention_norm = nn.LayerNorm(width, eps=norm_epsilon)
        self.feed_forward = feed_forward
        self.feed_forward_norm = nn.LayerNorm(width, eps=norm_epsilon)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden_TD: Tensor, layout: Layout, *, reads: Reads = Reads.ALL) -> Tensor:
        """``[T, D]`` to what `reads` asks for: ``[S, D]``, the first token of each sequence, ``[C, D]`` or all."""
        if reads is Reads.FIRST:
            residual = hidden_TD.index_select(0, layout.first_S)
            attended = self.attention.from_first(hidden_TD, residual, layout)
        elif reads is Reads.CHOSEN:
            residual = hidden_TD.index_select(0, layout.chosen_C)
            attended = self.attention.of_chosen(hidden_TD, layout)
        else:
            residual = hidden_TD
            attended = self.attention(hidden_TD, layout)
        hidden = self.attention_norm(residual + self.dropout(attended))
        return self.feed_forward_norm(hidden + self.dropout(self.feed_forward(hidden)))  # type: ignore[no-any-return]

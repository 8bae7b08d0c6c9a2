"""A model on padded sequences, for graphs that are exported: plain operations, the same weights, the same outputs.

The packed model asks a layout where each sequence lies, which no graph can. This one takes matrices of sequences by
length. What is at padding reaches no token, and the first-token shortcut is as in the packed model: the last layer
computes queries, the output projection and the feed-forward network for the first token alone.

Letters as in `layout`: S sequences, L length of the longest, D width, H heads, K width of a head, E width of the
embeddings, O outputs of a head.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bertsmith.errors import SettingsError
from bertsmith.nn.layout import Layout, Reads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bertsmith.nn.encoder import Embeddings
    from bertsmith.nn.heads import Model
    from bertsmith.nn.layers import Layer

# What takes a token out of a softmax. Not the least float: in bfloat16 that would be minus infinity, and in sums it may
# become that.
_FAR_BELOW = -1e4


class PaddedModel(nn.Module):
    """The encoder and head of a `Model`, its parameters shared, on padded sequences.

    Its parts have names that a graph made of it repeats: ``/layers.5/query/…``, ``/head/…``.
    Raises SettingsError for a head that reads chosen tokens: which these are is no matrix of sequences by length.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        if model.head.reads is Reads.CHOSEN:
            raise SettingsError("heads over masked words read chosen tokens, and cannot be exported")
        self.embeddings = model.encoder.embeddings
        self.layers = nn.ModuleList(_PaddedLayer(layer) for layer in cast("Sequence[Layer]", model.encoder.layers))
        self.head = model.head
        # these heads ask nothing of a layout
        self._no_layout = Layout.of([1])

    @property
    def reads_first(self) -> bool:
        """Whether the outputs are of each sequence's first token alone."""
        return self.head.reads is Reads.FIRST

    @property
    def output_names(self) -> tuple[str, ...]:
        """The names of the outputs, in the order in which `forward` gives them."""
        return tuple(self.head.counts(self._no_layout))

    def forward(self, id_SL: Tensor, segment_SL: Tensor, mask_SL: Tensor) -> tuple[Tensor, ...]:
        """The head's outputs: ``[S, O]`` of a head that reads the first token, else ``[S, L, O]``.

        All three are int64; mask: 1 at tokens, 0 at padding. What is given for padding is of no meaning.
        """
        bias_S11L = ((1 - mask_SL) * _FAR_BELOW).to(torch.float32)[:, None, None, :]
        hidden_SLD = _embedded(self.embeddings, id_SL, segment_SL)
        for layer in self.layers[:-1]:
            hidden_SLD = layer(hidden_SLD, hidden_SLD, bias_S11L)
        read = hidden_SLD[:, :1] if self.reads_first else hidden_SLD
        hidden = self.layers[-1](read, hidden_SLD, bias_S11L)
        outputs = self.head(hidden[:, 0] if self.reads_first else hidden, self._no_layout)
        return tuple(outputs[name] for name in self.output_names)


def _embedded(embeddings: Embeddings, id_SL: Tensor, segment_SL: Tensor) -> Tensor:
    position_L = torch.arange(id_SL.shape[1], device=id_SL.device) + embeddings.first_position
    embedded_SLE = embeddings.word(id_SL) + embeddings.position(position_L)
    if embeddings.segment is not None:
        # a table of one row, as RoBERTa's, serves both texts of a pair
        embedded_SLE = embedded_SLE + embeddings.segment(segment_SL.clamp(max=embeddings.segment.num_embeddings - 1))
    normed_SLE: Tensor = embeddings.norm(embedded_SLE)
    return normed_SLE if embeddings.projection is None else embeddings.projection(normed_SLE)


class _Rows(nn.Module):
    """A third of the rows of a stacked linear layer: the queries, keys or values, each a product of its own, which a
    graph's compiler quantises and lays out by itself."""

    def __init__(self, stacked: nn.Linear, third: int) -> None:
        super().__init__()
        self.stacked, self._third = stacked, third

    def forward(self, hidden: Tensor) -> Tensor:
        width = self.stacked.in_features
        rows = slice(self._third * width, (self._third + 1) * width)
        return F.linear(hidden, self.stacked.weight[rows], self.stacked.bias[rows])


class _PaddedLayer(nn.Module):
    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.query, self.key, self.value = (_Rows(layer.attention.query_key_value, third) for third in range(3))
        self.attended = layer.attention.output
        self.attention_norm, self.feed_forward_norm = layer.attention_norm, layer.feed_forward_norm
        self.feed_forward = layer.feed_forward
        self._heads = layer.attention.heads

    def forward(self, read: Tensor, hidden_SLD: Tensor, bias_S11L: Tensor) -> Tensor:
        """The layer's output for the tokens that are read (all, or the first of each sequence), which attend to all."""
        query = self._by_head(self.query(read))
        key, value = self._by_head(self.key(hidden_SLD)), self._by_head(self.value(hidden_SLD))
        score_SHLL = query @ key.transpose(2, 3) * query.shape[-1] ** -0.5 + bias_S11L
        mixed = (torch.softmax(score_SHLL, dim=-1) @ value).transpose(1, 2)
        attended = self.attended(mixed.reshape(mixed.shape[0], -1, hidden_SLD.shape[2]))
        hidden = self.attention_norm(read + attended)
        return self.feed_forward_norm(hidden + self.feed_forward(hidden))  # type: ignore[no-any-return]

    def _by_head(self, projected_SLD: Tensor) -> Tensor:
        """``[S, L, D]`` to ``[S, H, L, K]``."""
        count, _, width = projected_SLD.shape
        return projected_SLD.reshape(count, -1, self._heads, width // self._heads).transpose(1, 2)

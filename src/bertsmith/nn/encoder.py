"""The encoder: embeddings and a stack of transformer layers (Devlin et al. 2019, §3) on packed tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from bertsmith.nn.dropout import Dropout
from bertsmith.nn.layers import FeedForward, Layer, LayerNorm, Linear, SelfAttention
from bertsmith.nn.layout import Reads
from bertsmith.nn.precision import keep_few_kernels

if TYPE_CHECKING:
    from bertsmith.nn.layout import Layout


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    """The shape of an encoder; the families read it from config.json and write it back.

    positions: rows of the position table, of which the first `first_position` are never used.
    segments: rows of the segment table; 0 where a family has none.
    """

    vocabulary: int
    width: int
    layers: int
    heads: int
    inner_width: int
    positions: int
    segments: int
    embedding_width: int
    first_position: int = 0
    activation: str = "gelu"
    norm_epsilon: float = 1e-12
    dropout: float = 0.1
    attention_dropout: float = 0.1
    initializer_range: float = 0.02

    @property
    def max_length(self) -> int:
        """The longest sequence, in tokens with the special ones, that the position table allows."""
        return self.positions - self.first_position


class Embeddings(nn.Module):
    """Word, position and segment embeddings, their norm and, where they are narrower, a projection (ELECTRA).

    row_V: which row of the word table an id has, where that is not the id itself.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.first_position = config.first_position
        self.row_V: Tensor | None = None
        self.word = _table(config.vocabulary, config.embedding_width)
        self.position = _table(config.positions, config.embedding_width)
        self.segment = _table(config.segments, config.embedding_width) if config.segments else None
        self.norm = LayerNorm(config.embedding_width, eps=config.norm_epsilon)
        self.dropout = Dropout(config.dropout)
        narrower = config.embedding_width != config.width
        self.projection = Linear(config.embedding_width, config.width) if narrower else None

    def forward(self, id_T: Tensor, segment_T: Tensor, layout: Layout) -> Tensor:
        row_T = id_T if self.row_V is None else self.row_V[id_T]
        embedded_TE = self.word(row_T) + self.position(layout.position_T + self.first_position)
        if self.segment is not None:
            # a table of one row, as RoBERTa's, serves both texts of a pair
            embedded_TE = embedded_TE + self.segment(segment_T.clamp_max(self.segment.num_embeddings - 1))
        embedded_TE = self.dropout(self.norm(embedded_TE))
        return embedded_TE if self.projection is None else self.projection(embedded_TE)  # type: ignore[no-any-return]


def _table(rows: int, width: int) -> nn.Embedding:
    # On the meta device there is nothing to be set at random, and to try imports torch's compiler, which takes seconds.
    weight = torch.empty(rows, width)
    return nn.Embedding(rows, width, _weight=weight if weight.is_meta else None)


class Encoder(nn.Module):
    """Embeddings and transformer layers. Build it on the meta device and load weights, or call `initialize`.

    products: the type in which the layers compute, and which hidden states have; None for that of the weights.
    checkpointing: in training, keep each layer's input alone and compute the layer once more for its gradient
    (Chen et al. 2016): a third more work, and memory for one layer instead of all.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        keep_few_kernels()
        self.config = config
        self.products: torch.dtype | None = None
        self.checkpointing = False
        self.embeddings = Embeddings(config)
        self.layers = nn.ModuleList(
            Layer(
                attention=SelfAttention(width=config.width, heads=config.heads, dropout=config.attention_dropout),
                feed_forward=FeedForward(
                    width=config.width, inner_width=config.inner_width, activation=config.activation
                ),
                width=config.width,
                norm_epsilon=config.norm_epsilon,
                dropout=config.dropout,
            )
            for _ in range(config.layers)
        )

    def forward(self, id_T: Tensor, segment_T: Tensor, layout: Layout, *, reads: Reads = Reads.ALL) -> Tensor:
        """The last layer's hidden states: ``[T, D]``, or of the tokens alone that `reads` asks for.

        A token has the same numbers in each: what no head reads is left out, nothing is approximated.
        """
        hidden_TD = self._embedded(id_T, segment_T, layout)
        for layer in self.layers[:-1]:
            hidden_TD = self._layer(layer, hidden_TD, layout, Reads.ALL)
        return self._layer(self.layers[-1], hidden_TD, layout, reads)

    def _layer(self, layer: nn.Module, hidden_TD: Tensor, layout: Layout, reads: Reads) -> Tensor:
        if self.checkpointing and self.training:
            given = (hidden_TD, layout)
            return checkpoint(layer, *given, reads=reads, use_reentrant=False)  # type: ignore[no-any-return]
        return layer(hidden_TD, layout, reads=reads)  # type: ignore[no-any-return]

    def hidden_states(self, id_T: Tensor, segment_T: Tensor, layout: Layout) -> list[Tensor]:
        """The embeddings' output and every layer's, each ``[T, D]``."""
        states = [self._embedded(id_T, segment_T, layout)]
        for layer in self.layers:
            states.append(layer(states[-1], layout))
        return states

    def _embedded(self, id_T: Tensor, segment_T: Tensor, layout: Layout) -> Tensor:
        embedded_TD: Tensor = self.embeddings(id_T, segment_T, layout)
        return embedded_TD if self.products is None else embedded_TD.to(self.products)

    def answer_in(self, products: torch.dtype) -> None:
        """Compute in this type from now on, with copies of the weights in it until training begins."""
        self.products = products
        for part in self.modules():
            if isinstance(part, Linear):
                part.prepare(products)

    def set_dropout(self, share: float) -> None:
        """Drop this share of hidden values and of attention probabilities in training."""
        for part in self.modules():
            if isinstance(part, Dropout):
                part.share = share
            elif isinstance(part, SelfAttention):
                part.dropout = share

    def initialize(self, generator: torch.Generator) -> None:
        """Random weights as BERT starts from: normal with the config's deviation, zero biases, unit norms."""
        initialize(self, deviation=self.config.initializer_range, generator=generator)


def initialize(module: nn.Module, *, deviation: float, generator: torch.Generator) -> None:
    """Set all of a module's weights at random: linear and embedding weights normal, biases 0, norms 1 and 0."""
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Embedding):
            nn.init.normal_(part.weight, std=deviation, generator=generator)
        if isinstance(part, nn.LayerNorm):
            nn.init.ones_(part.weight)
        bias = getattr(part, "bias", None)
        if isinstance(bias, nn.Parameter):
            nn.init.zeros_(bias)

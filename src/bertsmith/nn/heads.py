"""The one extra layer: small networks that read an encoder's hidden states, learned from scratch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bertsmith.nn.dropout import Dropout
from bertsmith.nn.layers import ACTIVATIONS
from bertsmith.nn.layout import Reads

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bertsmith.nn.encoder import Encoder
    from bertsmith.nn.layout import Layout


class Head(nn.Module):
    """A head: says which tokens it reads, gives named outputs, and knows the form that its weights are kept in.

    It takes hidden states of any type and gives that of its weights, in which it computes what is small.
    """

    reads: Reads
    # whether it computes with the word embeddings, all of them
    tied = False

    def forward(self, hidden: Tensor, layout: Layout) -> dict[str, Tensor]:
        """Named outputs, one row for each hidden state that the head reads unless it says otherwise."""
        raise NotImplementedError

    def tie(self, encoder: Encoder) -> None:
        """Take what the head shares with the encoder; most heads share nothing."""

    def counts(self, layout: Layout) -> Mapping[str, Sequence[int]]:
        """How many rows of its output each sequence has, by the output's name."""
        by_reads = {
            Reads.FIRST: (1,) * len(layout.lengths),
            Reads.CHOSEN: layout.chosen_counts,
            Reads.ALL: layout.lengths,
        }
        return {"logits": by_reads[self.reads]}

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
        self.dropout_before = Dropout(dropout if dropout_before else 0.0)
        self.dense = nn.Linear(width, width)
        self.activation = ACTIVATIONS[activation]
        self.dropout = Dropout(dropout)
        self.output = nn.Linear(width, outputs)
        self._scale, self._shift = 1.0, 0.0

    def answer_in(self, *, scale: float, shift: float) -> None:
        """Learn standardised numbers, but give them in the data's units: ``output * scale + shift``."""
        self._scale, self._shift = scale, shift

    def forward(self, first_SD: Tensor, layout: Layout) -> dict[str, Tensor]:
        """``{"logits": [S, O]}``."""
        dense_SD = self.activation(self.dense(self.dropout_before(first_SD.to(self.dense.weight.dtype))))
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
        self.dropout = Dropout(dropout)
        self.output = nn.Linear(width, outputs)

    def forward(self, hidden_TD: Tensor, layout: Layout) -> dict[str, Tensor]:
        """``{"logits": [T, O]}``."""
        return {"logits": self.output(self.dropout(hidden_TD.to(self.output.weight.dtype)))}


class Bias(nn.Module):
    """A vector that is added, in a module of its own so that it has a name in checkpoints."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias


class MaskedWordHead(Head):
    """Reads the chosen tokens and says which piece stands there: dense, activation, norm, and a product with the word
    embeddings, whose weights are the encoder's own (Devlin et al. 2019, §3.1, Task #1; Press & Wolf 2017)."""

    reads = Reads.CHOSEN
    tied = True

    def __init__(
        self, *, width: int, embedding_width: int, vocabulary: int, activation: str, norm_epsilon: float
    ) -> None:
        super().__init__()
        self.dense = nn.Linear(width, embedding_width)
        self.activation = ACTIVATIONS[activation]
        self.norm = nn.LayerNorm(embedding_width, eps=norm_epsilon)
        self.output = Bias(vocabulary)
        # in a tuple, so that torch does not take the encoder's weights for the head's, too
        self._words: tuple[nn.Embedding, ...] = ()

    def tie(self, encoder: Encoder) -> None:
        self._words = (encoder.embeddings.word,)

    def forward(self, hidden_CD: Tensor, layout: Layout) -> dict[str, Tensor]:
        """``{"logits": [C, V]}``."""
        return {"logits": self._logits(hidden_CD)}

    def _logits(self, hidden_CD: Tensor) -> Tensor:
        (words,) = self._words
        transformed_CE = self.norm(self.activation(self.dense(hidden_CD.to(self.dense.weight.dtype))))
        # the one large product of any head, so it is computed as the encoder's are
        weight, bias = words.weight.to(hidden_CD.dtype), self.output.bias.to(hidden_CD.dtype)
        logits_CV = F.linear(transformed_CE.to(hidden_CD.dtype), weight, bias)
        return logits_CV.to(words.weight.dtype)


class PretrainingHead(MaskedWordHead):
    """BERT's own head: masked words, and from the first token whether the second text follows the first
    (Devlin et al. 2019, §3.1, Task #2). The first of the chosen tokens of each sequence must be its first token."""

    def __init__(
        self, *, width: int, embedding_width: int, vocabulary: int, activation: str, norm_epsilon: float
    ) -> None:
        super().__init__(
            width=width,
            embedding_width=embedding_width,
            vocabulary=vocabulary,
            activation=activation,
            norm_epsilon=norm_epsilon,
        )
        self.pooler = nn.Linear(width, width)
        self.next = nn.Linear(width, 2)

    def counts(self, layout: Layout) -> Mapping[str, Sequence[int]]:
        return {"logits": [count - 1 for count in layout.chosen_counts], "next": (1,) * len(layout.lengths)}

    def forward(self, hidden_CD: Tensor, layout: Layout) -> dict[str, Tensor]:
        """``{"logits": [C - S, V], "next": [S, 2]}``; of ``next``, 0 is that it follows, 1 that it does not."""
        is_first_C = first_of_each(layout.chosen_counts, device=hidden_CD.device)
        pooled_SD = torch.tanh(self.pooler(hidden_CD[is_first_C].to(self.pooler.weight.dtype)))
        return {"logits": self._logits(hidden_CD[~is_first_C]), "next": self.next(pooled_SD)}


def first_of_each(counts: Sequence[int], *, device: torch.device | None = None) -> Tensor:
    """Of so many rows a sequence, one sequence after another: which is the first of its sequence."""
    count_S = torch.tensor(counts)
    is_first = torch.zeros(int(count_S.sum()), dtype=torch.bool)
    is_first[count_S.cumsum(0) - count_S] = True
    return is_first.to(device)


class Model(nn.Module):
    """An encoder and the head that reads it."""

    def __init__(self, encoder: Encoder, head: Head) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        head.tie(encoder)

    def hidden(self, id_T: Tensor, segment_T: Tensor, layout: Layout) -> Tensor:
        """The hidden states that the head reads: ``[S, D]``, ``[C, D]`` or ``[T, D]``, as its `reads` says."""
        return self.encoder(id_T, segment_T, layout, reads=self.head.reads)  # type: ignore[no-any-return]

    def forward(self, id_T: Tensor, segment_T: Tensor, layout: Layout) -> dict[str, Tensor]:
        """The head's outputs, by name."""
        return self.head(self.hidden(id_T, segment_T, layout), layout)  # type: ignore[no-any-return]

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.encoder.embeddings.word.weight.device

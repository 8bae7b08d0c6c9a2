"""Packed tokens: where each sequence lies in a ``[T, …]`` matrix.

The tokens of a batch lie one after another, so linear layers, norms and activations never see padding; only
attention asks the layout where a sequence begins and ends.

Letters in names, here and in all of ``nn``:  T tokens of a batch (all sequences one after another), S sequences,
L length of a block's longest sequence, R rows (tokens) that are read, C chosen tokens, D width of the encoder, H heads,
K width of a head, I inner width of the feed-forward network, E width of the embeddings, O outputs of a head, V size of
the vocabulary.
"""

from __future__ import annotations

import enum
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TypeAlias

    from numpy.typing import NDArray
    from torch import Tensor

    Counts: TypeAlias = NDArray[np.int64]


class Reads(enum.Enum):
    """Which tokens a head reads: the first of each sequence, those that the layout names as chosen, or all.

    The last layer computes no others.
    """

    FIRST = "first"
    CHOSEN = "chosen"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Side:
    """Rows of a packed matrix that a block's sequences have, and how they lie if each sequence is padded to as many as
    the longest has.

    padded_R: where each of the rows lies among ``sequences * longest`` padded places; None when all sequences have
    equally many and padding changes nothing.
    """

    rows: slice
    longest: int
    padded_R: Tensor | None


@dataclass(frozen=True, slots=True)
class Block:
    """Neighbouring sequences of similar length, which attention pads to their longest.

    sides: the block's rows among all tokens, among the first ones and among the chosen ones. bias_S1L: 0 at tokens,
    the least float at padding; None where nothing is padded.
    """

    sequences: slice
    sides: Mapping[Reads, Side]
    bias_S1L: Tensor | None

    @property
    def count(self) -> int:
        """How many sequences the block holds."""
        return int(self.sequences.stop - self.sequences.start)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the sequences of a batch lie: lengths, first tokens, positions, and the blocks for attention.

    chosen_C: where the chosen tokens lie, those of the first sequence first. chosen_counts: how many each sequence
    has. Both are empty where no head asks for them.
    """

    lengths: tuple[int, ...]
    first_S: Tensor
    position_T: Tensor
    blocks: tuple[Block, ...]
    chosen_C: Tensor
    chosen_counts: tuple[int, ...]

    # A shorter sequence opens a new block when padding it to the block's longest would waste more than this share.
    MOST_PADDING = 0.4
    # A block has at most so many scores a head, unless one sequence alone has more: what attention makes of them in
    # four passes should stay in a processor's cache.
    MOST_SCORES = 2**18

    @classmethod
    def of(
        cls,
        lengths: Sequence[int],
        *,
        chosen: Sequence[NDArray[np.int32]] = (),
        device: torch.device | None = None,
    ) -> Layout:
        """The layout of sequences of these lengths, in this order (attention wastes least if they are sorted).

        chosen: the positions in each sequence that the head reads, if it reads some alone.
        """
        assert lengths and min(lengths) > 0, f"every sequence needs a token, got lengths {lengths}"
        length_S = np.asarray(lengths, dtype=np.int64)
        first_S = np.cumsum(length_S) - length_S
        position_T = np.arange(int(length_S.sum())) - np.repeat(first_S, length_S)
        starts = first_S[: len(chosen)]
        chosen_C = np.concatenate(
            [np.zeros(0, np.int64), *(at + start for at, start in zip(chosen, starts, strict=True))]
        )
        count_S = np.array([len(each) for each in chosen] or [0] * len(lengths), dtype=np.int64)
        # an accelerator wants few large products
        most_scores = cls.MOST_SCORES if device is None or device.type == "cpu" else sys.maxsize
        ranges = _similar(length_S, most_padding=cls.MOST_PADDING, most_scores=most_scores)
        return cls(
            lengths=tuple(int(length) for length in lengths),
            first_S=torch.from_numpy(first_S).to(device),
            position_T=torch.from_numpy(position_T).to(device),
            blocks=tuple(_block(length_S, count_S, slice(start, stop), device) for start, stop in ranges),
            chosen_C=torch.from_numpy(chosen_C).to(device),
            chosen_counts=tuple(map(len, chosen)),
        )

    @property
    def tokens(self) -> int:
        """T, the number of tokens of all sequences."""
        return int(self.position_T.shape[0])

    def places(self, reads: Reads) -> Tensor:
        """Where the tokens lie that are read, if those are not all: ``[S]`` or ``[C]``."""
        return {Reads.FIRST: self.first_S, Reads.CHOSEN: self.chosen_C}[reads]


def _similar(length_S: Counts, *, most_padding: float, most_scores: int) -> list[tuple[int, int]]:
    """Half-open ranges of neighbouring sequences whose lengths differ little."""
    ranges = []
    start, longest, shortest = 0, length_S[0], length_S[0]
    for index, length in enumerate(length_S):
        longest, shortest = max(longest, length), min(shortest, length)
        # below 8 tokens a block of its own costs more than padding
        too_short = shortest < (1 - most_padding) * longest - 8
        too_many = index > start and (index + 1 - start) * longest**2 > most_scores
        if too_short or too_many:
            ranges.append((start, index))
            start, longest, shortest = index, length, length
    ranges.append((start, len(length_S)))
    return ranges


def _block(length_S: Counts, chosen_S: Counts, sequences: slice, device: torch.device | None) -> Block:
    inside_S = length_S[sequences]
    longest = int(inside_S.max())
    bias_S1L = None
    if int(inside_S.min()) < longest:
        bias_SL = np.where(np.arange(longest) < inside_S[:, None], 0.0, np.finfo(np.float32).min)
        bias_S1L = torch.from_numpy(bias_SL[:, None, :].astype(np.float32)).to(device)
    return Block(
        sequences=sequences,
        sides={
            Reads.ALL: _side(length_S, sequences, device),
            Reads.FIRST: Side(rows=sequences, longest=1, padded_R=None),
            Reads.CHOSEN: _side(chosen_S, sequences, device),
        },
        bias_S1L=bias_S1L,
    )


def _side(count_S: Counts, sequences: slice, device: torch.device | None) -> Side:
    """The rows of a block's sequences in a matrix that holds so many rows of each sequence of the batch."""
    inside_S = count_S[sequences]
    longest, start, rows = int(inside_S.max()), int(count_S[: sequences.start].sum()), int(inside_S.sum())
    padded_R = None
    if int(inside_S.min()) < longest:
        before_S = np.cumsum(inside_S) - inside_S
        shift_S = np.arange(len(inside_S)) * longest - before_S
        padded_R = torch.from_numpy(np.arange(rows) + np.repeat(shift_S, inside_S)).to(device)
    return Side(rows=slice(start, start + rows), longest=longest, padded_R=padded_R)

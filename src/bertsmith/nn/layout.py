"""Packed tokens: where each sequence lies in a ``[T, …]`` matrix.

The tokens of a batch lie one after another, so linear layers, norms and activations never see padding; only
attention asks the layout where a sequence begins and ends.

Letters in names, here and in all of ``nn``:  T tokens of a batch (all sequences one after another), S sequences,
L length of a block's longest sequence, D width of the encoder, H heads, K width of a head, I inner width of the
feed-forward network, E width of the embeddings, O outputs of a head, C chosen tokens, V size of the vocabulary.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor


class Reads(enum.Enum):
    """Which tokens a head reads: the first of each sequence, those that the layout names as chosen, or all.

    The last layer computes no others.
    """

    FIRST = "first"
    CHOSEN = "chosen"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Block:
    """Neighbouring sequences of similar length, which attention pads to their longest.

    padded_T: where each of the block's tokens lies among ``sequences * longest`` padded places; None when all
    sequences are equally long and padding changes nothing. bias_S1L: 0 at tokens, the least float at padding.
    """

    tokens: slice
    sequences: slice
    longest: int
    padded_T: Tensor | None
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
        return cls(
            lengths=tuple(int(length) for length in lengths),
            first_S=torch.from_numpy(first_S).to(device),
            position_T=torch.from_numpy(position_T).to(device),
            blocks=tuple(
                _block(length_S, first_S, position_T, slice(start, stop), device)
                for start, stop in _similar(length_S, cls.MOST_PADDING)
            ),
            chosen_C=torch.from_numpy(chosen_C).to(device),
            chosen_counts=tuple(map(len, chosen)),
        )

    @property
    def tokens(self) -> int:
        """T, the number of tokens of all sequences."""
        return int(self.position_T.shape[0])


def _similar(length_S: np.ndarray[tuple[int], np.dtype[np.int64]], most_padding: float) -> list[tuple[int, int]]:
    """Half-open ranges of neighbouring sequences whose lengths differ little."""
    ranges = []
    start, longest, shortest = 0, length_S[0], length_S[0]
    for index, length in enumerate(length_S):
        longest, shortest = max(longest, length), min(shortest, length)
        if shortest < (1 - most_padding) * longest - 8:  # below 8 tokens a block of its own costs more than padding
            ranges.append((start, index))
            start, longest, shortest = index, length, length
    ranges.append((start, len(length_S)))
    return ranges


def _block(
    length_S: np.ndarray[tuple[int], np.dtype[np.int64]],
    first_S: np.ndarray[tuple[int], np.dtype[np.int64]],
    position_T: np.ndarray[tuple[int], np.dtype[np.int64]],
    sequences: slice,
    device: torch.device | None,
) -> Block:
    inside_S = length_S[sequences]
    longest = int(inside_S.max())
    start = int(first_S[sequences.start])
    tokens = slice(start, start + int(inside_S.sum()))
    if bool((inside_S == longest).all()):
        return Block(tokens=tokens, sequences=sequences, longest=longest, padded_T=None, bias_S1L=None)
    padded_T = np.repeat(np.arange(len(inside_S)) * longest, inside_S) + position_T[tokens]
    bias_SL = np.where(np.arange(longest) < inside_S[:, None], 0.0, np.finfo(np.float32).min)
    return Block(
        tokens=tokens,
        sequences=sequences,
        longest=longest,
        padded_T=torch.from_numpy(padded_T).to(device),
        bias_S1L=torch.from_numpy(bias_SL[:, None, :].astype(np.float32)).to(device),
    )

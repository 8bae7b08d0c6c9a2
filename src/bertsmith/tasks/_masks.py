"""Masked words (Devlin et al. 2019, §3.1, Task #1): which pieces of a sequence are hidden, and by what.

Letters beside those of `nn.layout`: N pieces of a sequence, W words in it, V pieces of the vocabulary.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from bertsmith.batching import mixed_seed
from bertsmith.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from bertsmith.records import Encoded
    from bertsmith.tokenizer import Tokenizer

RandomWords = Literal["unigram", "uniform"]

# Of the chosen pieces, so many are replaced by [MASK], so many by a random piece; the rest stay as they are.
MASKED, REPLACED = 0.8, 0.1


class NoMaskTokenError(SettingsError):
    """The vocabulary has no mask token. name: of the encoder, or of the tokenizer, where it is known."""

    def __init__(self, name: str = "this encoder") -> None:
        super().__init__(f"masked words need a mask token, and the tokenizer of {name} has none")


@dataclass(frozen=True, slots=True)
class Masks:
    """How pieces are chosen and hidden.

    share: of the pieces, special tokens not counted. open_V: which pieces may be chosen, and drawn as random ones: all
    but special tokens. continues_V: which go on with the word before them, for whole words; None for single pieces.
    reach_V: cumulative probability of the random pieces.
    """

    share: float
    mask_id: int
    open_V: NDArray[np.bool_]
    continues_V: NDArray[np.bool_] | None
    reach_V: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        tokenizer: Tokenizer,
        *,
        share: float,
        whole_words: bool,
        counts_V: NDArray[np.int64] | None,
    ) -> Masks:
        """counts_V: how often each piece is in the corpus, by which random ones are drawn; None to draw all alike.

        Raises NoMaskTokenError if the vocabulary has no mask token, SettingsError if it has nothing but special tokens.
        """
        if tokenizer.mask_id is None:
            raise NoMaskTokenError
        open_V = np.ones(tokenizer.vocab_size, dtype=bool)
        open_V[sorted(tokenizer.special_ids)] = False
        weight_V = open_V * (np.ones(len(open_V)) if counts_V is None else counts_V)
        if not weight_V.any():
            raise SettingsError("there is no piece to draw random words from, but special tokens")
        return cls(
            share=share,
            mask_id=tokenizer.mask_id,
            open_V=open_V,
            continues_V=tokenizer.continues if whole_words else None,
            reach_V=np.cumsum(weight_V) / weight_V.sum(),
        )

    def drawn(self, sequence: Encoded, *, seed: int, epoch: int, row: int) -> Encoded:
        """The sequence with masks that are a pure function of seed, epoch and row (and of the window, if it is one)."""
        generator = np.random.default_rng(mixed_seed("mask", seed, epoch, row, sequence.offset))
        return self._hidden(sequence, generator)

    def fixed(self, sequence: Encoded) -> Encoded:
        """The sequence with masks that depend on its pieces alone, so that its scores can be compared."""
        seed = mixed_seed("mask to score", zlib.crc32(sequence.ids.astype("<i4").tobytes()))
        return self._hidden(sequence, np.random.default_rng(seed))

    def _hidden(self, sequence: Encoded, generator: np.random.Generator) -> Encoded:
        """Positions that are chosen already (the first, for the next sentence) stay before the masks."""
        chosen_C = self._choose(sequence.ids, generator)
        truth_C = sequence.ids[chosen_C]
        ids_N = sequence.ids.copy()
        fate_C = generator.random(len(chosen_C))
        ids_N[chosen_C[fate_C < MASKED]] = self.mask_id
        random_C = chosen_C[(fate_C >= MASKED) & (fate_C < MASKED + REPLACED)]
        # side "right": a piece of no weight is never drawn, not even by a 0
        ids_N[random_C] = np.searchsorted(self.reach_V, generator.random(len(random_C)), side="right")
        if sequence.chosen is not None:
            before = np.full(len(sequence.chosen), -1, np.int32) if sequence.truth is None else sequence.truth
            chosen_C, truth_C = np.append(sequence.chosen, chosen_C), np.append(before, truth_C)
        return replace(sequence, ids=ids_N, chosen=chosen_C.astype(np.int32), truth=truth_C.astype(np.int32))

    def _choose(self, ids_N: NDArray[np.int32], generator: np.random.Generator) -> NDArray[np.int64]:
        """The positions to hide, ascending: the share of those that may be, rounded, but at least one."""
        open_M = np.flatnonzero(self.open_V[ids_N])
        count = max(1, round(self.share * len(open_M)))
        if self.continues_V is None:
            return np.sort(generator.permutation(open_M)[:count])
        begins_M = ~self.continues_V[ids_N[open_M]]
        begins_M[1:] |= np.diff(open_M) > 1  # a special token before it
        begins_M[:1] = True
        word_M = np.cumsum(begins_M) - 1
        return open_M[np.isin(word_M, _words(np.bincount(word_M), count, generator))]


def _words(size_W: NDArray[np.int64], count: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Words at random whose pieces are `count` on the average: the last one, where it has more pieces than are left, is
    taken with the probability that makes up for it. At least one."""
    order_W = generator.permutation(len(size_W))
    reach_W = np.cumsum(size_W[order_W])
    taken = int(np.searchsorted(reach_W, count, side="right"))
    left = count - (int(reach_W[taken - 1]) if taken else 0)
    if taken < len(order_W) and (not taken or generator.random() < left / size_W[order_W[taken]]):
        taken += 1
    return order_W[:taken]


def piece_counts(sequences: Iterable[Encoded], tokenizer: Tokenizer) -> NDArray[np.int64]:
    """How often each piece of the vocabulary is in these sequences; 0 for special tokens."""
    counts_V = np.zeros(tokenizer.vocab_size, dtype=np.int64)
    for sequence in sequences:
        np.add.at(counts_V, sequence.ids, 1)
    counts_V[sorted(tokenizer.special_ids)] = 0
    return counts_V

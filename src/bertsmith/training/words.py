"""The word embeddings in a run, of which a step touches few, and most data sets a third.

A row whose word is in no sequence of the run has no gradient, so AdamW only ever decays it: by the same factors as all
others, whenever they are multiplied in. So while a run lasts, the table holds the words of its sequences alone, and
gradient, moments and norm are of that size; in the end the other rows get the product of their factors. That is what
AdamW does, to the rounding of that product.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray
    from torch import Tensor

    from bertsmith.nn.heads import Model
    from bertsmith.sequences import Sequences

    Ids = NDArray[np.int64]


NEARLY_ALL = 0.8


@contextmanager
def words_of(model: Model, *sets: Sequences) -> Iterator[WordTable]:
    """Let the model compute with the words of these sets alone; afterwards it has all of them again.

    A model whose head computes with all words keeps them, and one of whose words nearly all are used.
    """
    vocabulary = model.encoder.config.vocabulary
    used = None if model.head.tied else used_words(sets, vocabulary=vocabulary)
    table = WordTable(model, None if used is None or len(used) > NEARLY_ALL * vocabulary else used)
    try:
        yield table
    finally:
        table.restore()


def used_words(sets: Iterable[Sequences], *, vocabulary: int) -> Ids:
    """The ids in all sequences of these sets, ascending."""
    is_used_V = np.zeros(vocabulary, dtype=np.bool_)
    for sequences in sets:
        is_used_V[sequences.ids] = True
    return np.flatnonzero(is_used_V)


class WordTable:
    """Some rows of the word table, which stand for the full one in the model until it is restored.

    unseen: how many parameters the model is without meanwhile. decay: what the unseen rows are multiplied by then.
    """

    def __init__(self, model: Model, used: Ids | None) -> None:
        """used: the rows; None leaves the table as it is."""
        self._embeddings, self._full = model.encoder.embeddings, model.encoder.embeddings.word
        self.decay, self.unseen = 1.0, 0
        self._used: Tensor | None = None
        if used is None:
            return
        vocabulary, width = self._full.weight.shape
        self.unseen = (vocabulary - len(used)) * width
        self._used = torch.from_numpy(used).to(model.device)
        # an id that the run does not have has a row that is not there, and so an error
        row_V = torch.full((vocabulary,), len(used), device=model.device)
        row_V[self._used] = torch.arange(len(used), device=model.device)
        self._embeddings.word = nn.Embedding(len(used), width, _weight=self._full.weight.detach()[self._used])
        self._embeddings.row_V = row_V

    def restore(self) -> None:
        """Put the full table back, with what its rows have become."""
        if self._used is None:
            return
        with torch.no_grad():
            self._full.weight.mul_(self.decay)
            self._full.weight[self._used] = self._embeddings.word.weight
        self._embeddings.word, self._embeddings.row_V = self._full, None

"""Pairs of text for next-sentence prediction, as in BERT's pretraining: does the second follow the first?"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bertsmith.batching import mixed_seed
from bertsmith.errors import DataError, SettingsError
from bertsmith.records import IS_NEXT, IS_RANDOM, Place

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from bertsmith.corpus.store import Store
    from bertsmith.records import Encoded
    from bertsmith.tokenizer import Tokenizer

_DOCUMENTS_AT_ONCE = 1 << 16


class PairRows:
    """Chunks of neighbouring sentences, of which each epoch makes pairs anew (Devlin et al. 2019, A.2).

    A chunk is a row. It takes sentences of one document until `max_length` is filled, of a share of the chunks until
    a random shorter length is; it has two sentences at least. In each epoch it is cut between two sentences, at
    random. The second part stays with probability 1/2 (truth 0), else sentences from another document take its place
    (truth 1). Pairs that are too long lose pieces of their longer text, at either end at random.

    Three things differ from google-research/bert's create_pretraining_data.py, so that nothing but the texts tells
    whether the second follows the first. A random second text is about as long as the one that it replaces, not as
    long as there is room, or a short pair would be a true one, from the end of a document. It does not begin with a
    document's first sentence, as no true one does. And a document of one sentence is in no pair, as it could not be in
    a true one; `left_out` counts those. The place of a random text is drawn among chunks, so that long documents are
    drawn more often, as they are among the true ones.

    tokens: of an epoch in which all second texts are the true ones. cut: pieces of such an epoch that there is no room
    for. Sixteen bytes are kept of a row.

    advice: what may give more sentences, for the message.
    Raises: SettingsError where `max_length` leaves less than one piece a text; DataError where fewer than two documents
    have two sentences.
    """

    def __init__(
        self,
        store: Store,
        documents: NDArray[np.int64],
        tokenizer: Tokenizer,
        *,
        max_length: int,
        short_share: float = 0.1,
        seed: int,
        advice: str = "",
    ) -> None:
        overhead = tokenizer.overhead(pair=True)
        room = max_length - overhead
        if room < 2:
            raise SettingsError(f"max_length must be at least {overhead + 2}, got {max_length}")
        sentences_D = store.document_D[documents + 1] - store.document_D[documents]
        several = documents[sentences_D > 1]
        self.left_out = len(documents) - len(several)
        if len(several) < 2:
            message = f"{several_of(len(several), len(documents))}, and next-sentence pairs need two of those{advice}"
            raise DataError(message, place=_first_place(store, documents))
        self._store, self._documents, self._tokenizer, self._room = store, several, tokenizer, room
        self._start_R, self._stop_R, self._first_row_D = _chunks(
            store, several, room=room, short_share=short_share, seed=seed
        )
        count_R = store.sentence_S[self._stop_R] - store.sentence_S[self._start_R]
        self.tokens = int(np.minimum(count_R, room).sum()) + len(self) * overhead
        self.cut = int(np.maximum(count_R - room, 0).sum())

    def __len__(self) -> int:
        return len(self._start_R)

    def place(self, row: int) -> Place:
        """Where the row's document begins."""
        return self._store.place(int(self._documents[self._at(row)]))

    def sequence(self, row: int, *, seed: int, epoch: int) -> Encoded:
        """The row's pair in this epoch: a pure function of the arguments."""
        assert 0 <= row < len(self), (row, len(self))
        generator = np.random.default_rng(mixed_seed("pair", seed, epoch, row))
        start, stop = int(self._start_R[row]), int(self._stop_R[row])
        middle = int(generator.integers(start + 1, stop))
        first, second = self._pieces(start, middle), self._pieces(middle, stop)
        truth = IS_NEXT if generator.random() < 0.5 else IS_RANDOM
        if truth == IS_RANDOM:
            missing = max(1, self._room - len(first))
            length, fills = min(len(second), missing), len(second) >= missing
            second = self._pieces(*self._elsewhere(row, length, generator, fills=fills))
        kept_first, kept_second = _shortened(first, second, self._room, generator)
        encoded = self._tokenizer.frame(kept_first, kept_second)
        return replace(
            encoded,
            cut=len(first) + len(second) - len(kept_first) - len(kept_second),
            chosen=np.zeros(1, dtype=np.int32),
            truth=np.array([truth], dtype=np.int32),
        )

    def _at(self, row: int) -> int:
        """The number, among the documents, of the row's."""
        return int(np.searchsorted(self._first_row_D, row, side="right")) - 1

    def _pieces(self, start: int, stop: int) -> NDArray[np.integer[Any]]:
        """The pieces of a range of sentences."""
        return self._store.piece_P[self._store.sentence_S[start] : self._store.sentence_S[stop]]

    def _elsewhere(self, row: int, length: int, generator: np.random.Generator, *, fills: bool) -> tuple[int, int]:
        """Sentences of another document, of so many pieces together: as near as whole sentences come to it.

        fills: at least so many, as there are in a chunk that fills its row.
        """
        at = self._at(row)
        own, after = self._first_row_D[at : at + 2].tolist()
        other = int(generator.integers(len(self) - (after - own)))
        other += after - own if other >= own else 0
        document = self._documents[self._at(other)]
        first, end = self._store.document_D[document : document + 2].tolist()
        start = int(generator.integers(int(self._start_R[other]) + 1, int(self._stop_R[other])))
        begin_S = self._store.sentence_S
        # where the document would end too soon, the text begins earlier, but not with the first sentence
        latest = np.searchsorted(begin_S[first : end + 1], begin_S[end] - length, side="right") - 1
        start = min(start, first + max(1, int(latest)))
        goal = begin_S[start] + length
        stop = start + 1 + int(np.searchsorted(begin_S[start + 1 : end], goal))
        if not fills and stop - 1 > start and goal - begin_S[stop - 1] < begin_S[stop] - goal:
            stop -= 1
        return start, stop


def _chunks(
    store: Store, documents: NDArray[np.int64], *, room: int, short_share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The first sentence of each chunk and where it stops, [rows]; the first row of each document, and the end."""
    generator = np.random.default_rng(mixed_seed("chunks", seed))
    starts, stops, first_rows = array("q"), array("q"), array("q")
    for begin in range(0, len(documents), _DOCUMENTS_AT_ONCE):
        some = documents[begin : begin + _DOCUMENTS_AT_ONCE]
        for first, end in zip(store.document_D[some].tolist(), store.document_D[some + 1].tolist(), strict=True):
            first_rows.append(len(starts))
            for start, stop in _cut(store.sentence_S[first : end + 1].tolist(), room, short_share, generator):
                starts.append(first + start)
                stops.append(first + stop)
    first_rows.append(len(starts))
    return np.array(starts), np.array(stops), np.array(first_rows)


def _cut(
    begins: Sequence[int], room: int, short_share: float, generator: np.random.Generator
) -> Iterator[tuple[int, int]]:
    """A document's chunks, as ranges of its sentences; begins: the piece at which each sentence begins, and the end."""
    count = len(begins) - 1
    start = 0
    while start < count:
        short = generator.random() < short_share
        length = int(generator.integers(2, room + 1)) if short else room
        stop = max(start + 2, bisect_left(begins, begins[start] + length, start + 1, count))
        if stop >= count - 1:  # the last sentence alone would have no neighbour
            stop = count
        yield start, stop
        start = stop


def _shortened(
    first: NDArray[np.integer[Any]], second: NDArray[np.integer[Any]], room: int, generator: np.random.Generator
) -> tuple[NDArray[np.integer[Any]], NDArray[np.integer[Any]]]:
    """Both texts within `room` pieces: the longer loses pieces until both are equally long, each at an end at random.

    The odd piece of two halves stays with the longer text, of two equals with the first.
    """
    if len(first) + len(second) <= room:
        return first, second
    least = min(len(first), len(second), room // 2)
    keep_first, keep_second = (room - least, least) if len(first) >= len(second) else (least, room - least)
    shortened = []
    for pieces, keep in ((first, keep_first), (second, keep_second)):
        start = int(generator.binomial(len(pieces) - keep, 0.5))
        shortened.append(pieces[start : start + keep])
    return shortened[0], shortened[1]


def several_of(several: int, documents: int) -> str:
    """How many documents can be in a pair, in words."""
    return f"{several:,} of {documents:,} documents have two sentences or more"


def _first_place(store: Store, documents: NDArray[np.int64]) -> Place | None:
    return Place(store.place(int(documents[0])).source) if len(documents) else None

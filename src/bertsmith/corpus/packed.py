"""Rows of running text for masked-language-model training: packed without padding, or a document each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from bertsmith.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from bertsmith.corpus.store import Store
    from bertsmith.records import Encoded, Place
    from bertsmith.tokenizer import Tokenizer

Packing = Literal["full", "documents"]


class CorpusRows(Protocol):
    """The rows of a corpus: a sequence each, made when it is asked for."""

    def __len__(self) -> int:
        """How many rows there are."""

    @property
    def tokens(self) -> int:
        """The tokens of an epoch, special ones among them."""

    def place(self, row: int) -> Place:
        """Where the document begins that the row begins in."""

    def sequence(self, row: int, *, seed: int, epoch: int) -> Encoded:
        """The row's sequence: a pure function of the arguments."""


class PackedRows:
    """Documents one after another, cut into rows; each piece is in exactly one row, the same in every epoch.

    packing="full": one separator stands between documents, and all rows but the last have exactly `max_length`
    tokens; a row may hold the end of one document and the start of the next. This is FULL-SENTENCES of Liu et al.
    2019, "RoBERTa", §4.2, but cut between pieces instead of sentences, so that no room is left over.
    packing="documents": a row holds pieces of one document; a document that is too long is cut into several rows of
    nearly equal length.

    Nothing is kept of a row, 16 bytes of a document.

    Raises: SettingsError where `max_length` leaves no room for a piece.
    """

    def __init__(
        self,
        store: Store,
        documents: NDArray[np.int64],
        tokenizer: Tokenizer,
        *,
        max_length: int,
        packing: Packing = "full",
    ) -> None:
        overhead = tokenizer.overhead(pair=False)
        room = max_length - overhead
        if room < 1:
            raise SettingsError(f"max_length must be at least {overhead + 1}, got {max_length}")
        self._store, self._documents, self._tokenizer = store, documents, tokenizer
        self._room, self._full = room, packing == "full"
        self._separator = np.array([tokenizer.separator_id], dtype=np.int32)
        starts, stops = store.piece_range(documents)
        count_D = stops - starts
        # Where each document begins in the stream of pieces and separators, or its first row; and the end of all.
        size_D = count_D + 1 if self._full else -(-count_D // room)
        self._start_D = np.append(0, np.cumsum(size_D))
        if self._full:
            self._stream = max(0, int(self._start_D[-1]) - 1)  # nothing follows the last document
            self._rows = -(-self._stream // room)
            self.tokens = self._stream + self._rows * overhead
        else:
            self._rows = int(self._start_D[-1])
            self.tokens = int(count_D.sum()) + self._rows * overhead

    def __len__(self) -> int:
        return self._rows

    def place(self, row: int) -> Place:
        """Where the document begins that the row begins in."""
        return self._store.place(int(self._documents[self._at(row * self._room if self._full else row)]))

    def sequence(self, row: int, *, seed: int = 0, epoch: int = 0) -> Encoded:
        """The row's sequence. Neither the seed nor the epoch changes it."""
        assert 0 <= row < self._rows, (row, self._rows)
        parts = list(self._stream_parts(row) if self._full else self._document_part(row))
        return self._tokenizer.frame(np.concatenate(parts))

    def _at(self, start: int) -> int:
        """The number, among the documents, of the one that holds this place of the stream, or this row."""
        return int(np.searchsorted(self._start_D, start, side="right")) - 1

    def _document_part(self, row: int) -> Iterator[NDArray[np.integer[Any]]]:
        at = self._at(row)
        first, after = self._start_D[at : at + 2].tolist()
        (start,), (stop,) = self._store.piece_range(self._documents[at : at + 1])
        count, part, parts = int(stop - start), row - first, after - first
        yield self._store.piece_P[start + count * part // parts : start + count * (part + 1) // parts]

    def _stream_parts(self, row: int) -> Iterator[NDArray[np.integer[Any]]]:
        begin = row * self._room
        end = min(begin + self._room, self._stream)
        first, last = self._at(begin), self._at(end - 1)
        starts, stops = self._store.piece_range(self._documents[first : last + 1])
        for at, (start, stop) in enumerate(zip(starts.tolist(), stops.tolist(), strict=True), first):
            shift = start - int(self._start_D[at])  # from the stream to the store
            yield self._store.piece_P[max(start, begin + shift) : min(stop, end + shift)]
            if end + shift > stop:
                yield self._separator

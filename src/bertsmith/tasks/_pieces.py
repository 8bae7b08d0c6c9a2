"""Which piece of which window stands for a word: the one aligner of words and pieces.

Letters: N pieces of all texts, W words, A anchors (a word's number, and a piece's position in its sequence).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from bertsmith.records import Encoded

Pieces = Literal["first", "last", "mean"]


def anchored(
    encoded: Sequence[Sequence[Encoded]], word_spans: Sequence[NDArray[np.int32]], *, pieces: Pieces
) -> list[list[Encoded]]:
    """Every text's windows with `anchors` in the place of `spans`.

    word_spans: for each text the character spans of its words, in their order. pieces: which pieces of a word stand
    for it; with ``mean`` it has an anchor for each. A word's anchors are all in one window, that which holds most
    context around it, on the side where it has less; the text's own ends count as no end. A piece that reaches over
    several words stands for each of them. A word without a piece has no anchor.
    """
    if not encoded:
        return []
    pieces_of, words_of = [_all_spans(windows) for windows in encoded], word_spans
    first_piece_R = np.cumsum([0, *map(len, pieces_of)])
    word_count_R = np.array([len(each) for each in words_of])
    piece_N2, word_W2 = _in_one_line(pieces_of, words_of)
    inked_N = np.flatnonzero(piece_N2[:, 0] < piece_N2[:, 1])
    # they are in order, but for what a normaliser may have turned round
    start_N = np.minimum.accumulate(piece_N2[inked_N, 0][::-1])[::-1]
    stop_N = np.maximum.accumulate(piece_N2[inked_N, 1])
    low_W = np.searchsorted(stop_N, word_W2[:, 0], side="right")
    high_W = np.searchsorted(start_N, word_W2[:, 1], side="left") - 1
    has_W = low_W <= high_W
    low_W, high_W = inked_N[low_W[has_W]], inked_N[high_W[has_W]]
    if pieces != "mean":
        low_W, high_W = (low_W, low_W) if pieces == "first" else (high_W, high_W)
    number_W = (np.arange(len(word_W2)) - np.repeat(np.cumsum(word_count_R) - word_count_R, word_count_R))[has_W]
    row_W = np.repeat(np.arange(len(encoded)), word_count_R)[has_W]
    low_W, high_W = low_W - first_piece_R[row_W], high_W - first_piece_R[row_W]
    cuts = np.searchsorted(row_W, np.arange(1, len(encoded)))
    per_text = zip(*(np.split(each, cuts) for each in (number_W, low_W, high_W)), strict=True)
    return [list(_of_text(windows, *each)) for windows, each in zip(encoded, per_text, strict=True)]


def _all_spans(windows: Sequence[Encoded]) -> NDArray[np.int32]:
    """The spans of all pieces of a text, each once."""
    parts, known = [], 0
    for window in windows:
        assert window.spans is not None, "words are found by their characters"
        start, stop = window.body
        parts.append(window.spans[start + known - window.offset : stop])
        known = window.offset + stop - start
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _in_one_line(
    pieces_of: Sequence[NDArray[np.int32]], words_of: Sequence[NDArray[np.int32]]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The spans of all texts as if these were one: numpy takes far longer over many small arrays."""
    end_R = np.array(
        [max(int(each[:, 1].max(initial=0)) for each in both) for both in zip(pieces_of, words_of, strict=True)]
    )
    shift_R = np.cumsum(end_R) - end_R
    piece_N2, word_W2 = (
        np.concatenate(spans).astype(np.int64) + np.repeat(shift_R, [len(each) for each in spans])[:, None]
        for spans in (pieces_of, words_of)
    )
    return piece_N2, word_W2


def _of_text(
    windows: Sequence[Encoded], number_W: NDArray[np.int64], low_W: NDArray[np.int64], high_W: NDArray[np.int64]
) -> Iterator[Encoded]:
    """low_W, high_W: the first and the last piece, among all of the text, that stand for these words."""
    window_W = _window_of(windows, low_W, high_W) if len(windows) > 1 else None
    for number, window in enumerate(windows):
        here_W = slice(None) if window_W is None else window_W == number
        start, stop = window.body
        first, last = window.offset, window.offset + stop - start - 1
        # of a word longer than a window, the pieces in it
        low_H, high_H = low_W[here_W].clip(first, last), high_W[here_W].clip(first, last)
        count_H = high_H - low_H + 1
        word_A = np.repeat(number_W[here_W], count_H)
        piece_A = np.arange(len(word_A)) + np.repeat(low_H - (np.cumsum(count_H) - count_H), count_H)
        anchor_A2 = np.stack([word_A, piece_A - first + start], axis=1).astype(np.int32)
        yield replace(window, spans=None, anchors=anchor_A2)


def _window_of(windows: Sequence[Encoded], low_W: NDArray[np.int64], high_W: NDArray[np.int64]) -> NDArray[np.int64]:
    """The window that holds most context around each word; the first of several."""
    best_W = np.full(len(low_W), -np.inf)
    window_W = np.zeros(len(low_W), dtype=np.int64)
    for number, window in enumerate(windows):
        first, last = window.offset, window.offset + window.body[1] - window.body[0] - 1
        before_W = low_W - first if number else np.inf
        after_W = last - high_W if number < len(windows) - 1 else np.inf
        context_W = np.minimum(before_W, after_W)
        better_W = context_W > best_W
        best_W, window_W = np.where(better_W, context_W, best_W), np.where(better_W, number, window_W)
    return window_W

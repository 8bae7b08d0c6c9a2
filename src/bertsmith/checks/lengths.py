"""How long rows are in the encoder's tokens, and what a limit would cut off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bertsmith.checks.splits import PLACES, counted, share
from bertsmith.infer.lengths import Length
from bertsmith.records import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bertsmith.checks.splits import Progress, Split
    from bertsmith.records import Encoded
    from bertsmith.tasks import Task
    from bertsmith.tokenizer import Tokenizer

_ROWS_AT_ONCE = 4096  # so that a large file's sequences are never all in memory


def lengths(
    task: Task[Any, Any], split: Split, tokenizer: Tokenizer, *, max_length: int, encoder: str, progress: Progress
) -> Iterator[Finding]:
    """One finding: a warning where tokens are cut off. May raise DataError, as encoding does."""
    tokens, cut, windows = list[int](), list[int](), list[int]()
    for start in range(0, len(split.examples), _ROWS_AT_ONCE):
        progress(f"{split.name}: {start:,} of {counted(len(split.examples), 'row')} measured")
        encoded = task.encode(split.examples[start : start + _ROWS_AT_ONCE], tokenizer, max_length=max_length)
        for sequences in encoded:
            tokens.append(_tokens(sequences))
            cut.append(Length.of(sequences).cut)
            windows.append(len(sequences))
    if tokens:
        yield _finding(
            split, np.array(tokens), np.array(cut), np.array(windows), max_length=max_length, encoder=encoder
        )


def _tokens(sequences: Sequence[Encoded]) -> int:
    """The tokens of a whole row: what windows share counts once, what is cut off counts, too."""
    last = sequences[-1]
    return last.offset + len(last) + last.cut


def _finding(split: Split, token_R: Any, cut_R: Any, window_R: Any, *, max_length: int, encoder: str) -> Finding:
    median, most, longest = (int(np.quantile(token_R, q, method="higher")) for q in (0.5, 0.95, 1.0))
    rows_cut, rows_in_windows = int((cut_R > 0).sum()), int((window_R > 1).sum())
    text = f"median {median}, 95 % up to {most}, longest {longest:,} tokens of {encoder}; limit {max_length}: "
    costs = []
    if rows_in_windows:
        costs.append(f"{counted(rows_in_windows, 'row')} ({share(rows_in_windows, len(token_R))}) read in windows")
    if rows_cut:
        tokens = share(int(cut_R.sum()), int(token_R.sum()))
        costs.append(f"{counted(rows_cut, 'row')} ({share(rows_cut, len(token_R))}) cut, {tokens} of all tokens")
    numbers = {
        "median": median,
        "p95": most,
        "longest": longest,
        "limit": max_length,
        "rows_cut": rows_cut,
        "tokens_cut": int(cut_R.sum()),
        "tokens": int(token_R.sum()),
        "rows_in_windows": rows_in_windows,
    }
    places = tuple(f"{split.place(row)} {cut_R[row]:,} cut" for row in np.flatnonzero(cut_R)[:PLACES].tolist())
    return Finding("warn" if rows_cut else "good", "lengths", text + ("; ".join(costs) or "none cut"), places, numbers)

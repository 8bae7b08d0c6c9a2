"""How long rows are, and what to say of those that exceed a limit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bertsmith.events import Listener, Said

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bertsmith.records import Encoded


@dataclass(frozen=True, slots=True)
class Length:
    """How long a row is: tokens that are read, tokens cut off to keep within the limit, sequences it is read in."""

    tokens: int
    cut: int
    sequences: int

    @classmethod
    def of(cls, sequences: Sequence[Encoded]) -> Length:
        # every window of a text carries the same count of what none of them holds
        cut = max((each.cut for each in sequences), default=0)
        return cls(sum(len(each) for each in sequences), cut, len(sequences))


def say_lengths(name: str, lengths: Sequence[Length], limit: int, listen: Listener) -> None:
    """Say how many rows and tokens there are, and how many exceed the limit: a warning where tokens are cut off."""
    tokens, cut = sum(length.tokens for length in lengths), sum(length.cut for length in lengths)
    rows_cut, several = sum(length.cut > 0 for length in lengths), sum(length.sequences > 1 for length in lengths)
    text = f"{name}: {len(lengths):,} rows, {tokens:,} tokens, limit {limit}"
    if several:
        text += f"; {several:,} rows are longer and read in windows"
    if rows_cut:
        share = 100 * cut / (cut + tokens)
        text += f"; {rows_cut:,} rows are longer: {cut:,} tokens ({share:.1f} %) are cut off"
    listen(Said(text, warning=rows_cut > 0))

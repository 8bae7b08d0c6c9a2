"""How long rows are, and what to say of those that exceed a limit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bertsmith.events import Listener, Said

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bertsmith.records import Encoded
    from bertsmith.sequences import Sequences


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


@dataclass(frozen=True, slots=True)
class Lengths:
    """Of many rows: how many there are, their tokens, those cut off, in how many rows, and how many come in windows."""

    rows: int
    tokens: int
    cut: int
    rows_cut: int
    in_windows: int

    @classmethod
    def of(cls, lengths: Sequence[Length]) -> Lengths:
        """Of rows whose lengths are known."""
        return cls(
            rows=len(lengths),
            tokens=sum(length.tokens for length in lengths),
            cut=sum(length.cut for length in lengths),
            rows_cut=sum(length.cut > 0 for length in lengths),
            in_windows=sum(length.sequences > 1 for length in lengths),
        )

    @classmethod
    def of_sequences(cls, encoded: Sequences) -> Lengths:
        """Of rows that are encoded."""
        cut_R = encoded.cut_of()
        return cls(
            rows=len(encoded),
            tokens=encoded.tokens,
            cut=int(cut_R.sum()),
            rows_cut=int((cut_R > 0).sum()),
            in_windows=int((encoded.counts() > 1).sum()),
        )

    def say(self, name: str, limit: int, listen: Listener) -> None:
        """Say how many rows and tokens there are, and how many exceed the limit: a warning where tokens are cut off."""
        text = f"{name}: {self.rows:,} rows, {self.tokens:,} tokens, limit {limit}"
        if self.in_windows:
            text += f"; {self.in_windows:,} rows are longer and read in windows"
        if self.rows_cut:
            share = 100 * self.cut / (self.cut + self.tokens)
            text += f"; {self.rows_cut:,} rows are longer: {self.cut:,} tokens ({share:.1f} %) are cut off"
        listen(Said(text, warning=self.rows_cut > 0))

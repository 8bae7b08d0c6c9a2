"""The records that travel through bertsmith, in the order in which they come to be. No torch here.

row (as read) → example (typed by its task) → encoded (ids and spans) → prediction → scores
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray


# The classes of BERT's next-sentence head, in its order: the second text follows the first, or it is a random one.
IS_NEXT, IS_RANDOM = 0, 1


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row was read: ``train.tsv:17``. Lines count from 1; None where a source has no lines.

    path: where in a line's or a file's JSON: ``dev.json:data[0].paragraphs[3].qas[1]``.
    """

    source: str
    line: int | None = None
    path: str = ""

    def __str__(self) -> str:
        return ":".join(str(part) for part in (self.source, self.line, self.path) if part not in (None, ""))


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a file, its values under the names of the task's inputs (``text``, ``text_b``, ``label`` …).

    lines: of a row that takes many lines, one an item (a sentence, a word a line), the line of each item.
    """

    values: Mapping[str, Any]
    place: Place
    lines: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Input:
    """One input that a task reads from a row.

    names: the column names by which it is found when the user names no column, best first, lower case.
    required: reading fails without it. needed_to_train: reading for training or scoring fails without it.
    or_else: another input of the task that does as well; one of the two is enough.
    per_word: it holds an item for each word of a text, as files of a word a line do.
    """

    name: str
    names: tuple[str, ...]
    required: bool = True
    needed_to_train: bool = True
    help: str = ""
    or_else: str | None = None
    per_word: bool = False


@dataclass(frozen=True, slots=True)
class Encoded:
    """One sequence of pieces, ready for the encoder.

    ids: int32 [n], with special tokens. second: where segment 1 begins (n where there is one segment).
    spans: int32 [n, 2], half-open character spans in the text that the piece comes from, (-1, -1) for special
    tokens; None unless asked for. owner: the position of the example among those encoded.
    cut: how many pieces of the text were left out to keep within the limit.
    body: the half-open range of the last text's pieces in `ids` (the text itself, or the second of a pair).
    offset: how many pieces of the last text stand before this sequence's, in windows before it. windows: in how many
    the text comes.
    anchors: int32 [n, 2], the items that a task answers for in this sequence (words to be tagged): the item's number
    in its example, and the position of a piece that stands for it; None for tasks that answer for whole texts.
    chosen: int32 [c], ascending, the positions that the head reads (of masked words); None where it reads as it always
    does. truth: int32 [c], what is to be found there (the id of the masked piece); None where it is not known.
    weight: of the sequence's own loss beside those of its pieces.
    """

    ids: NDArray[np.int32]
    second: int
    owner: int
    cut: int = 0
    spans: NDArray[np.int32] | None = None
    body: tuple[int, int] = (0, 0)
    offset: int = 0
    windows: int = 1
    anchors: NDArray[np.int32] | None = None
    chosen: NDArray[np.int32] | None = None
    truth: NDArray[np.int32] | None = None
    weight: float = 1.0

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Score:
    """A score with its 95 % bootstrap interval. None where it is undefined (Pearson of a constant, say)."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores of one evaluation. Higher is better for the `main` one, which picks the best state of a run."""

    main: str
    values: Mapping[str, Score]
    baseline: Mapping[str, Score] = field(default_factory=dict)
    rows: int = 0

    @property
    def main_value(self) -> float:
        """The main score; minus infinity where it is undefined, so that any defined one is better."""
        value = self.values[self.main].value
        return float("-inf") if value is None else value


Level = Literal["good", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check of the data found: nothing wrong (good), something that may spoil the result (warn), or something
    that training would stop at or that makes its scores worthless (fail).

    check: a short name such as ``duplicates``. text: one line for people. places: the first places, five at most.
    numbers: what `text` counts, by name, for programs.
    """

    level: Level
    check: str
    text: str
    places: tuple[str, ...] = ()
    numbers: Mapping[str, float | int | str] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """As one JSON object."""
        return {
            "level": self.level,
            "check": self.check,
            "text": self.text,
            "places": list(self.places),
            "numbers": dict(self.numbers),
        }

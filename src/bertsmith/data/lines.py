"""Plain text: each line is a text, an empty line an empty text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bertsmith.data.columns import Columns
from bertsmith.data.source import without_end
from bertsmith.data.table import no_rows
from bertsmith.errors import DataError
from bertsmith.records import Row

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bertsmith.data.columns import Choice
    from bertsmith.data.source import Source
    from bertsmith.data.table import ReadOptions, Wanted


@dataclass(frozen=True, slots=True)
class Lines:
    """A file of texts. Where the task reads two, as text and text_b, a line with exactly one tab is both.

    Any other line is a text as it stands, tabs included; without `tabs`, a tab inside one is an error.
    """

    source: Source
    columns: Columns
    tabs: bool = True

    @property
    def note(self) -> str:
        return "one text a line"

    def rows(self, choices: Sequence[Choice]) -> Iterator[Row]:
        pairs = any(choice.position == 1 for choice in choices)
        for number, line in enumerate(self.source.lines(), 1):
            text = without_end(line)
            if not self.tabs and "\t" in text.strip():
                message = "a tab parts columns, and one text a line is read; for words in columns give --format conll"
                raise DataError(f"{message}, for texts with tabs --format lines", place=self.source.place(number))
            parts = text.split("\t") if pairs and text.count("\t") == 1 else [text]
            values = {}
            for choice in choices:
                if choice.position < len(parts):
                    values[choice.input] = parts[choice.position]
                elif choice.required:
                    found = f"{text.count(chr(9))} tabs on the line"
                    message = f"{found}, expected exactly one, between {self.columns.cells[0]} and {choice.input}"
                    raise DataError(message, place=self.source.place(number))
            yield Row(values, self.source.place(number))


def open_lines(source: Source, *, options: ReadOptions, wanted: Wanted) -> Lines:
    """Opens a file of texts, whose columns are those that the task reads.

    Of a task on words, a tab tells of columns, unless the format is given.
    """
    if next(source.peek(), None) is None:
        raise no_rows(source)
    columns = Columns(cells=wanted.texts, named=True, place=source.place())
    return Lines(source, columns, tabs=options.format != "auto" or not wanted.per_word)

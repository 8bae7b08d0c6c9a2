"""What every reader of a format has in common: the options it is given and the table it gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, get_args

from bertsmith.errors import DataError, SettingsError, listed, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bertsmith.data.columns import Choice, Columns
    from bertsmith.data.source import Source
    from bertsmith.records import Row

FormatName = Literal["auto", "csv", "tsv", "jsonl", "parquet", "conll", "conllu", "squad", "lines"]
Quoting = Literal["auto", "csv", "none"]

_DELIMITERS = {"\\t": "\t", "tab": "\t"}  # as one types a tab in a shell or a settings file


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How to read a file where its suffix and its first lines do not tell.

    format: ``auto`` goes by the suffix. header: None finds out. delimiter: one character, None: the usual.
    quoting: ``csv`` reads RFC 4180 quotes, with ``none`` a quotation mark is a plain character.

    Raises: SettingsError for a value that is not one of those.
    """

    format: FormatName = "auto"
    header: bool | None = None
    delimiter: str | None = None
    quoting: Quoting = "auto"
    encoding: str = "utf-8"

    def __post_init__(self) -> None:
        _check_one_of("--format", self.format, get_args(FormatName))
        _check_one_of("--quoting", self.quoting, get_args(Quoting))
        if self.delimiter is not None:
            delimiter = _DELIMITERS.get(self.delimiter, self.delimiter)
            if len(delimiter) != 1 or delimiter in '"\r\n':
                raise SettingsError(f"--delimiter must be one character or 'tab', got {self.delimiter!r}")
            object.__setattr__(self, "delimiter", delimiter)
        try:
            "\n".encode(self.encoding)
        except LookupError as error:
            raise SettingsError(f"--encoding: {error}; known are 'utf-8', 'latin-1', 'utf-16' …") from None


def _check_one_of(flag: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise SettingsError(f"{flag} must be one of {listed(allowed)}, got {value!r}{nearest(value, allowed)}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a reader is told of the inputs that are looked for.

    names: in lower case, those that mark a line as the header. texts: those that a line of plain text holds, one or
    two. per_word: one has an item for each word.
    """

    names: frozenset[str]
    texts: tuple[str, ...]
    per_word: bool


class Table(Protocol):
    """An opened file of a known format, ready to be read from its start any number of times."""

    @property
    def columns(self) -> Columns:
        """The columns there are to choose from."""

    @property
    def note(self) -> str:
        """How the file is read, for people: ``header on line 1, tab-separated, no quoting``."""

    def rows(self, choices: Sequence[Choice]) -> Iterator[Row]:
        """The rows in the file's order, with the chosen columns under the names of the inputs.

        Raises: DataError with the place of a row that cannot be read.
        """


class Opener(Protocol):
    """Opens a source as a table. It reads no more than it needs to know the columns."""

    def __call__(self, source: Source, *, options: ReadOptions, wanted: Wanted) -> Table:
        """Raises: DataError where the file is empty or not of the format."""


def no_rows(source: Source) -> DataError:
    return DataError("holds no rows", place=source.place())

"""CSV, with RFC 4180 quotes, and TSV, where as in GLUE's files a quotation mark is a plain character."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from bertsmith.data.columns import Columns, is_header
from bertsmith.data.source import without_end
from bertsmith.data.table import no_rows
from bertsmith.errors import DataError
from bertsmith.records import Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from bertsmith.data.columns import Choice
    from bertsmith.data.source import Source
    from bertsmith.data.table import ReadOptions, Wanted

_CSV_DELIMITERS = ",;\t|"
_DELIMITER_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar", " ": "space"}
_RECORDS_TO_SNIFF = 20
_CHARACTERS_TO_SNIFF = 1 << 20
_FIELD_LIMIT = 2**31 - 1  # the most that the csv module takes on every system
_QUOTED = re.compile(r'"[^"]*(?:""[^"]*)*"')


@dataclass(frozen=True, slots=True)
class Delimited:
    """A CSV or TSV file. header: the line of the header, 0 where there is none. width: the fields of a row.

    A blank line is no row, as it has no fields; in a file of one column it is a row with an empty text.
    """

    source: Source
    delimiter: str
    quoted: bool
    header: int
    width: int
    columns: Columns

    @property
    def note(self) -> str:
        header = f"header on line {self.header}" if self.header else "no header"
        return f"{header}, {self._form}"

    @property
    def _form(self) -> str:
        delimiter = _DELIMITER_NAMES.get(self.delimiter, repr(self.delimiter))
        return f"{delimiter}-separated, {'CSV' if self.quoted else 'no'} quoting"

    def rows(self, choices: Sequence[Choice]) -> Iterator[Row]:
        chosen = [(choice.input, choice.position) for choice in choices]
        records = _records(self.source, self.source.lines(), delimiter=self.delimiter, quoted=self.quoted)
        for line, fields in records:
            if line <= self.header:
                continue
            if len(fields) != self.width:
                if fields:
                    raise self._wrong_width(line, fields)
                if self.width != 1:
                    continue
                fields = [""]
            yield Row({name: fields[position] for name, position in chosen}, self.source.place(line))

    def _wrong_width(self, line: int, fields: Sequence[str]) -> DataError:
        if self.quoted:
            hint = f"quote the texts that hold {self.delimiter!r}, or give --quoting none or another --delimiter"
        else:
            hint = f"no text may hold {self.delimiter!r} or a line end, unless it is quoted: --quoting csv"
        found = "1 field" if len(fields) == 1 else f"{len(fields)} fields"
        first = self.columns.place.line
        message = f"{found}, expected {self.width} as on line {first} ({self._form}); {hint}"
        return DataError(message, place=self.source.place(line))


def open_csv(source: Source, *, options: ReadOptions, wanted: Wanted) -> Delimited:
    """Opens a CSV file; its delimiter is sniffed among ``, ; tab |`` unless it is given."""
    quoted = options.quoting != "none"
    delimiter = options.delimiter or _sniffed(source, quoted=quoted)
    return _opened(source, options.header, wanted.names, delimiter=delimiter, quoted=quoted)


def open_tsv(source: Source, *, options: ReadOptions, wanted: Wanted) -> Delimited:
    """Opens a TSV file; without quoting, unless its first megabyte shows CSV quoting beyond doubt."""
    delimiter = options.delimiter or "\t"
    quoted = options.quoting == "csv" or (options.quoting == "auto" and _shows_quoting(source, delimiter))
    return _opened(source, options.header, wanted.names, delimiter=delimiter, quoted=quoted)


def _opened(source: Source, header: bool | None, names: frozenset[str], *, delimiter: str, quoted: bool) -> Delimited:
    records = _records(source, source.peek(), delimiter=delimiter, quoted=quoted)
    line, cells = next(((line, fields) for line, fields in records if fields), (0, []))
    if not cells:
        raise no_rows(source)
    named = is_header(cells, names) if header is None else header
    return Delimited(
        source=source,
        delimiter=delimiter,
        quoted=quoted,
        header=line if named else 0,
        width=len(cells),
        columns=Columns(cells=tuple(cells), named=named, place=source.place(line)),
    )


def _records(source: Source, lines: Iterable[str], *, delimiter: str, quoted: bool) -> Iterator[tuple[int, list[str]]]:
    """Each record's first line and its fields; a blank line is a record without fields."""
    if quoted:
        yield from _csv_records(source, lines, delimiter)
        return
    for number, line in enumerate(lines, 1):
        text = without_end(line)
        yield number, text.split(delimiter) if text else []


def _csv_records(source: Source, lines: Iterable[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    # The csv module refuses fields over 128 KiB, and a text may be a book. The limit is the process's.
    if csv.field_size_limit() < _FIELD_LIMIT:
        csv.field_size_limit(_FIELD_LIMIT)
    record: list[str] = []  # the lines of the record that is being read

    def noted() -> Iterator[str]:
        for line in lines:
            record.append(line)
            yield line

    reader = csv.reader(noted(), delimiter=delimiter, strict=True)
    try:
        for fields in reader:
            yield reader.line_num - len(record) + 1, fields
            record.clear()
    except csv.Error as error:
        raise _csv_error(source, error, record, delimiter=delimiter, last=reader.line_num) from None


def _csv_error(source: Source, error: csv.Error, record: Sequence[str], *, delimiter: str, last: int) -> DataError:
    first = last - len(record) + 1
    if "unexpected end" in str(error):
        # The open field holds the rest of the file, so its line ends tell how far back it was opened.
        (fields,) = csv.reader(record, delimiter=delimiter)
        opened = last - fields[-1].count("\n") + record[-1].endswith("\n")
        message = 'a field opens with a quotation mark that is never closed; close it (a mark inside is "")'
        return DataError(f"{message}, or give --quoting none", place=source.place(opened))
    if "new-line character" in str(error):
        message = "a carriage return stands in a field without quotes; quote the text, or end lines with \\n"
        return DataError(f"{message}, or give --quoting none", place=source.place(last))
    where = "" if first == last else f" (on line {last}, in the row that begins here)"
    message = f'text follows the closing quotation mark of a field{where}; write a mark inside a field as ""'
    return DataError(f"{message}, or give --quoting none", place=source.place(first))


def _sniffed(source: Source, *, quoted: bool) -> str:
    """The first delimiter that cuts the first records into equally many fields, two or more; else a comma."""
    for delimiter in _CSV_DELIMITERS:
        records = _records(source, source.peek(), delimiter=delimiter, quoted=quoted)
        try:
            widths = {len(fields) for _, fields in islice(records, _RECORDS_TO_SNIFF) if fields}
        except DataError:  # not the delimiter; and what is wrong with the file is said when it is read
            continue
        if len(widths) == 1 and widths != {1}:
            return delimiter
    return _CSV_DELIMITERS[0]


def _shows_quoting(source: Source, delimiter: str) -> bool:
    """Whether the fields of the first megabyte are quoted as in CSV.

    They are if every field that holds a quotation mark is a well-formed quoted field, and if one of them
    holds a doubled mark, or a column is quoted in every row. Else the marks are characters of the texts.
    """
    doubled = False
    always: set[int] | None = None  # columns quoted in each row so far
    left = _CHARACTERS_TO_SNIFF
    for line in source.peek():
        left -= len(line)
        fields = without_end(line).split(delimiter)
        quoted = {position for position, field in enumerate(fields) if '"' in field}
        if not all(_QUOTED.fullmatch(fields[position]) for position in quoted):
            return False
        doubled = doubled or any('""' in fields[position][1:-1] for position in quoted)
        if fields != [""]:
            always = quoted if always is None else always & quoted
        if left <= 0:
            break
    return doubled or bool(always)

"""Files of text as documents, each a run of sentences, read one document at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from bertsmith.data import FORMATS, Quoting, ReadOptions, Rows, text_of
from bertsmith.data.columns import Flags, choose, header_names
from bertsmith.data.delimited import Delimited
from bertsmith.data.source import Source
from bertsmith.data.table import Wanted
from bertsmith.errors import DataError
from bertsmith.records import Input, Place
from bertsmith.strict import Strict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_TEXT = Input("text", ("text", "document", "content", "body", "abstract", "article"), needed_to_train=False)
_FLAGS = Flags({_TEXT.name: "--column"}, header=False)
_TABLES = ("jsonl", "parquet", "csv", "tsv")
# Formats whose texts are in pieces or in questions. Whatever is no format at all is plain text.
_NOT_READ = ("conll", "conllu", "squad")
_MOST_LINE, _MOST_DOCUMENT = 10_000_000, 100_000_000  # characters
_LINES_TO_LOOK_AT, _CHARACTERS_TO_LOOK_AT = 1000, 1 << 20
# What sentencex 1.0.32 has rules of its own for. Another language is split as a related one, or as English; it does not
# say which.
LANGUAGES = (
    "am", "ar", "bg", "bn", "ca", "da", "de", "el", "en", "es", "fi", "fr", "gu", "hi", "hy", "it", "ja", "kk", "kn",
    "ml", "mr", "my", "nl", "pa", "pl", "pt", "ru", "sk", "ta", "te", "uk",
)  # fmt: skip


class CorpusOptions(Strict):
    """How the files of a corpus are read."""

    column: str | None = Field(
        default=None, description="the column of the documents in JSONL, Parquet, CSV or TSV; left out, guessed"
    )
    sentences: Literal["auto", "lines", "split"] = Field(
        default="auto",
        description="in plain text: lines (each line is a sentence), split (each is a paragraph) or auto (finds out)",
    )
    language: str = Field(
        default="en", pattern="^[a-z]{2,3}$", description="the code of the language by whose rules sentences end"
    )
    skip_empty: bool = Field(default=False, description="leave out rows without text, which are an error otherwise")
    delimiter: str | None = Field(default=None, description="what stands between columns; left out, by format")
    quoting: Quoting = Field(
        default="auto", description="whether quotation marks enclose fields: auto, csv (they do) or none"
    )
    encoding: str = Field(default="utf-8", description="the files' character encoding")


@dataclass(frozen=True, slots=True)
class Document:
    """The sentences of one document in order, at least one, none blank; place: where it begins."""

    sentences: tuple[str, ...]
    place: Place


class Documents:
    """The documents of some files, in the files' order. Each iteration reads all files from their start and holds one
    document at a time.

    files: those that are read, folders replaced by what is in them. note: how they are read, in one line, for people.
    tables: whether a file is a table. delimited: whether one is CSV or TSV. plain: whether one is plain text.
    split_lines: whether its lines are split.
    skipped: how many rows without text the last iteration left out; first_skipped: where the first of them is.

    Raises: DataError, while iterating, for what cannot be read, a row without text (unless they are skipped), a file
    without documents, a line of more than 10 million characters, a document of more than 100 million.
    """

    def __init__(self, readers: Sequence[_Reader], options: CorpusOptions, *, split_lines: bool, note: str) -> None:
        self._readers = readers
        self.split_lines = split_lines
        self.tables = any(reader.rows is not None for reader in readers)
        self.delimited = any(reader.rows is not None and isinstance(reader.rows.table, Delimited) for reader in readers)
        self.plain = any(reader.rows is None for reader in readers)
        self.files = tuple(reader.source.path for reader in readers)
        self.options = options
        self.note = note
        self.skipped = 0
        self.first_skipped: Place | None = None

    @property
    def splits(self) -> bool:
        """Whether the rules of the language are used."""
        return self.split_lines or self.tables

    @property
    def advice(self) -> str:
        """What may give more documents, and more sentences in each; empty where nothing does."""
        if not self.plain:
            return ""
        return "; blank lines separate documents" + (
            "" if self.split_lines else ", and --sentences split finds the sentences in paragraphs"
        )

    def __iter__(self) -> Iterator[Document]:
        self.skipped, self.first_skipped = 0, None
        for reader in self._readers:
            empty = True
            for place, lines in reader.texts():
                sentences = self._sentences(reader, lines)
                if sentences:
                    empty = False
                    yield Document(sentences, place)
                else:
                    self._skip(place, "the text is empty" if lines else "the text is null, or not there")
            if empty:
                raise DataError("holds no text", place=reader.source.place())

    def _sentences(self, reader: _Reader, lines: Sequence[str]) -> tuple[str, ...]:
        if reader.rows is None and not self.split_lines:
            return tuple(line.strip() for line in lines)
        return tuple(sentence for line in lines for sentence in split(line, language=self.options.language))

    def _skip(self, place: Place, why: str) -> None:
        if not self.options.skip_empty:
            raise DataError(f"{why}; fill it in, or give --skip-empty to leave such rows out", place=place)
        self.skipped += 1
        self.first_skipped = self.first_skipped or place


def open_documents(files: Sequence[Path], options: CorpusOptions | None = None) -> Documents:
    """Opens files as documents; only their first lines are read now.

    A folder stands for the files in it, sorted by name, without those in further folders and without names that begin
    with ``.`` or ``_``. In .jsonl, .parquet, .csv and .tsv each row is a document. Any other file is plain text, where
    blank lines separate the documents. ``.gz`` may follow each suffix but .parquet.

    Raises: DataError for a file that cannot be opened, lacks the column or is there twice, and an empty folder;
    SettingsError for an encoding that there is not.
    """
    options = options or CorpusOptions()
    readers = [_opened(file, options) for file in _files(files)]
    plain = next((reader for reader in readers if reader.rows is None), None)
    table = next((reader for reader in readers if reader.rows is not None), None)
    split_lines, notes = False, []
    if plain is not None:
        split_lines, why = _choose(plain.source, options)
        form = "paragraphs, split into sentences" if split_lines else "sentences"
        notes.append(f"{plain.source.name}: plain text, documents end at blank lines, lines are {form}{why}")
    if table is not None and table.rows is not None:
        notes.append(f"{table.rows.describe()}, split into sentences")
    more = len(readers) - len(notes)
    note = "; ".join(notes) + (f"; and {more} more file{'s' if more > 1 else ''}" if more else "")
    return Documents(readers, options, split_lines=split_lines, note=note)


def split(text: str, *, language: str) -> list[str]:
    """The sentences of a text, stripped, none blank."""
    from sentencex import segment

    return [sentence for part in segment(language, text) if (sentence := part.strip())]


@dataclass(frozen=True, slots=True)
class _Reader:
    """One file; rows: None where it is plain text."""

    source: Source
    rows: Rows | None

    def texts(self) -> Iterator[tuple[Place, list[str]]]:
        """The lines of each document, with where it begins; of a row they may be blank, and there are none of one
        without a text."""
        if self.rows is None:
            yield from _plain(self.source)
            return
        for row in self.rows:
            if _TEXT.name not in row.values:
                yield row.place, []
                continue
            text = text_of(row, _TEXT.name)
            _check_no_zeros(text, row.place)
            yield row.place, text.split("\n")


def _opened(file: Path, options: CorpusOptions) -> _Reader:
    source = Source(file, encoding=options.encoding, most_characters=_MOST_LINE)
    if source.once:
        raise DataError("is read more than once, as a pipe cannot be; save it to a file", place=source.place())
    suffixes = [suffix.lower() for suffix in file.suffixes]
    gzip = suffixes[-1:] == [".gz"]
    suffix = "".join(suffixes[:-1][-1:] if gzip else suffixes[-1:])
    name = next((name for name, known in FORMATS.items() if suffix in known.suffixes), "lines")
    if name in _NOT_READ or (gzip and not FORMATS[name].gzip):
        message = f"files of {suffix}{'.gz' if gzip else ''} are no corpus; give .txt, .jsonl, .parquet, .csv or .tsv"
        raise DataError(message, place=source.place())
    reading = ReadOptions(delimiter=options.delimiter, quoting=options.quoting, encoding=options.encoding)
    if name not in _TABLES:
        return _Reader(source, None)
    columns = {} if options.column is None else {_TEXT.name: options.column}
    wanted = Wanted(names=header_names([_TEXT], columns), texts=(_TEXT.name,), per_word=False)
    table = FORMATS[name].opener(source, options=reading, wanted=wanted)
    choices = choose(table.columns, [_TEXT], columns, training=False, flags=_FLAGS)
    # a row without text is for `Documents` to refuse, or to skip
    optional = tuple(replace(choice, required=False, nullable=True) for choice in choices)
    return _Reader(source, Rows(source, table, optional))


def _plain(source: Source) -> Iterator[tuple[Place, list[str]]]:
    numbered = enumerate(source.lines(), 1)
    for blank, group in groupby(numbered, key=lambda each: not each[1] or each[1].isspace()):
        if blank:
            continue
        lines: list[str] = []
        first, held = 0, 0
        for number, line in group:
            _check_no_zeros(line, source.place(number))
            first = first or number
            held += len(line)
            if held > _MOST_DOCUMENT:
                message = (
                    f"a document of more than {_MOST_DOCUMENT:,} characters begins here; blank lines separate documents"
                    " (if each line is one, sed G FILE writes a blank line after each)"
                )
                raise DataError(message, place=source.place(first))
            lines.append(line)
        yield source.place(first), lines


def _check_no_zeros(text: str, place: Place) -> None:
    if "\0" in text:
        raise DataError("holds a zero byte, as no text does; save it as plain UTF-8 text", place=place)


def _choose(source: Source, options: CorpusOptions) -> tuple[bool, str]:
    """Whether the lines of plain text are to be split, and why, for people.

    They are where half of the first sentences or more share a line with others: a file of sentences has few such lines,
    and those by the splitter's mistakes; a file of paragraphs has headings and short lines between them.
    """
    if options.sentences != "auto":
        return options.sentences == "split", ""
    total = together = characters = 0
    for line in islice(source.peek(), _LINES_TO_LOOK_AT):
        found = len(split(line, language=options.language))
        total += found
        together += found if found > 1 else 0
        characters += len(line)
        if characters >= _CHARACTERS_TO_LOOK_AT:
            break
    share = together / max(1, total)
    return share >= 0.5, f" ({share:.0%} of the first sentences share a line with others)"


def _files(given: Sequence[Path]) -> list[Path]:
    """The files, with a folder's files in its place; each is there and is given once."""
    files: list[Path] = []
    for path in map(Path, given):
        if not path.is_dir():
            files.append(path)
            continue
        inside = sorted(each for each in path.iterdir() if each.is_file() and each.name[0] not in "._")
        if not inside:
            raise DataError("a folder without files", place=Place(str(path)))
        files += inside
    if not files:
        raise DataError("there are no files to read")
    seen: dict[Path, Path] = {}
    for path in files:
        first = seen.setdefault(path.resolve(), path)
        if first is not path:
            raise DataError(f"is there twice, first as {str(first)!r}; give each file once", place=Place(str(path)))
    return files

"""Readers: a file of any known format becomes a stream of rows, each with its place.

A further format is one more file beside these, with a function that opens a `Source` as a `Table`, and one
more line in `FORMATS`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bertsmith.data.columns import Choice, choose, header_names, text_of
from bertsmith.data.conll import begins_like_conll, looks_like_conll, open_conll
from bertsmith.data.conllu import looks_like_conllu, open_conllu
from bertsmith.data.delimited import open_csv, open_tsv
from bertsmith.data.jsonl import open_jsonl
from bertsmith.data.lines import open_lines
from bertsmith.data.parquet import open_parquet
from bertsmith.data.source import Source
from bertsmith.data.squad import open_squad
from bertsmith.data.table import FormatName, Opener, Quoting, ReadOptions, Table, Wanted
from bertsmith.errors import DataError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from bertsmith.records import Input, Row

__all__ = ["Choice", "FormatName", "Quoting", "ReadOptions", "Rows", "open_rows", "text_of"]


@dataclass(frozen=True, slots=True)
class Format:
    """How a format is opened, and the suffixes of its files; with `gzip`, ``.gz`` may follow each."""

    opener: Opener
    suffixes: tuple[str, ...]
    gzip: bool = True


FORMATS: dict[str, Format] = {
    "csv": Format(open_csv, (".csv",)),
    "tsv": Format(open_tsv, (".tsv", ".tab")),
    "jsonl": Format(open_jsonl, (".jsonl", ".ndjson")),
    "parquet": Format(open_parquet, (".parquet",), gzip=False),
    "conll": Format(open_conll, (".conll", ".bio", ".iob", ".iob2", ".bioes", ".bmes")),
    "conllu": Format(open_conllu, (".conllu",)),
    "squad": Format(open_squad, (".json",)),
    "lines": Format(open_lines, (".txt",)),
}
_DEFAULTS = ReadOptions()


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a file, with the chosen columns under the names of the inputs.

    Each iteration reads the file from its start and holds one row (of Parquet: one batch) at a time.

    Raises: DataError, while iterating, for a row that cannot be read and for a file without rows.
    """

    source: Source
    table: Table
    choices: tuple[Choice, ...]

    def __iter__(self) -> Iterator[Row]:
        empty = True
        for row in self.table.rows(self.choices):
            empty = False
            yield row
        if empty:
            raise DataError(f"holds no rows ({self.table.note})", place=self.source.place())

    @property
    def name(self) -> str:
        """The file as it was given, as in the places of its rows; ``<stdin>`` for standard input."""
        return self.source.name

    def describe(self) -> str:
        """How the file is read, in one line, for people."""
        named = self.table.columns.named
        chosen = ", ".join(
            f"{choice.input} = {repr(choice.column) if named else f'column {choice.column}'}"
            f"{' (guessed)' if choice.guessed else ''}"
            for choice in self.choices
        )
        return f"{self.name}: {self.table.note}; {chosen}"


def open_rows(
    path: Path | str,
    inputs: Sequence[Input],
    *,
    columns: Mapping[str, str] | None = None,
    preferred: Mapping[str, str] | None = None,
    texts: Sequence[str] = ("text", "text_b"),
    training: bool = True,
    options: ReadOptions = _DEFAULTS,
) -> Rows:
    """Opens a file (``-`` is standard input) as rows of a task's inputs; only its first lines are read now.

    columns: the column of an input, by name or by number from 1; a name wins. Other inputs are guessed: as in
    `preferred` where the file has that column, else by `Input.names`. texts: the inputs that the texts on a line of
    plain text are; one that is not among the inputs is left out. training: whether inputs that are needed to train are
    demanded; else they are not read.

    Raises: DataError where the file cannot be opened as a table, or lacks a required column; SettingsError
    where `columns` names an input that there is not.
    """
    columns, preferred = columns or {}, preferred or {}
    source = Source(path, encoding=options.encoding)
    wanted = Wanted(
        names=header_names(inputs, {**preferred, **columns}),
        texts=tuple(name for name in texts if name in {item.name for item in inputs}),
        per_word=any(item.per_word for item in inputs),
    )
    name = _format(source, options, wanted, training=training)
    table = FORMATS[name].opener(source, options=options, wanted=wanted)
    if name == "lines":
        _check_lines_suffice(source, table, inputs, training=training)
    choices = choose(table.columns, inputs, columns, preferred=preferred, training=training)
    return Rows(source, table, choices)


def _check_lines_suffice(source: Source, table: Table, inputs: Sequence[Input], *, training: bool) -> None:
    cells = table.columns.cells
    for item in inputs:
        if (item.required or (training and item.needed_to_train)) and not {item.name, item.or_else} & {*cells}:
            formats = "conll" if item.per_word else "csv or tsv"
            message = (
                f"is read as one text a line, which holds no {item.name}; if it has columns, give --format {formats}"
            )
            raise DataError(message, place=source.place())


def _format(source: Source, options: ReadOptions, wanted: Wanted, *, training: bool) -> str:
    """Of a task that reads an item for each word, a table of text, or lines of it, may be a file of words."""
    if options.format != "auto":
        return options.format
    *_, before, last = ["", "", *(suffix.lower() for suffix in source.path.suffixes)]
    gzip = last == ".gz"
    suffix = before if gzip else last
    name = next((name for name, known in FORMATS.items() if suffix in known.suffixes), None)
    has_fields = options.header is not None or options.delimiter is not None  # says the user
    words = wanted.per_word and not has_fields
    if name is None and source.once:
        return _stream_format(source, words=words)
    if name is None or (gzip and not FORMATS[name].gzip):
        suffixes = [each for known in FORMATS.values() for each in known.suffixes]
        found = f"the suffix {before + last if gzip else last!r}" if last else "a name without a suffix"
        message = (
            f"{found} tells no format; suffixes are {' '.join(suffixes)}, all but .parquet also with .gz"
            f"; else give --format {', '.join(FORMATS)}{nearest(suffix, suffixes)}"
        )
        raise DataError(message, place=source.place())
    if words and name in ("tsv", "lines") and looks_like_conll(source, may_be_text=not training):
        name = "conll"
    if name == "conll":
        return "conllu" if looks_like_conllu(source) else "conll"
    # MRPC, and much else, is a TSV file named .txt.
    if name == "lines" and "\t" in next(source.peek(), ""):
        return "tsv"
    return name


# SQuAD's object, where it begins: pretty-printed, or with its articles on the first line.
_SQUAD = re.compile(r'\s*\{(?:\s*$|.*"data"\s*:\s*(?:$|\[\s*(?:$|[{\]])))')


def _stream_format(source: Source, *, words: bool) -> str:
    """By the first line that is not blank, for whoever writes to a pipe may wait for an answer before the next."""
    first = next((line for line in source.peek() if not line.isspace()), "")
    if first.lstrip().startswith("{"):
        return "squad" if _SQUAD.match(first) else "jsonl"
    if words and begins_like_conll(source):
        return "conllu" if looks_like_conllu(source) else "conll"
    return "lines"

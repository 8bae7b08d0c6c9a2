"""CoNLL: a word a line with its tags in columns, and blank lines between the sentences (CoNLL-2003, WNUT-17)."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bertsmith.data.columns import Columns, clipped
from bertsmith.data.source import without_end
from bertsmith.data.table import no_rows
from bertsmith.errors import DataError
from bertsmith.records import Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from bertsmith.data.columns import Choice
    from bertsmith.data.source import Source
    from bertsmith.data.table import ReadOptions, Wanted

_DOCUMENT = "-DOCSTART-"
_COMMENT = ("# ", "#\t")
_LOOK_AT = 2000
_BLANKS = re.compile(r"[ \t]+")
# "# sent_id = 7", CoNLL-U's "# newdoc", and MultiCoNER's "# id 7<tab>domain=en": where blanks part the columns, a word
# line may hold as many.
_METADATA = re.compile(r"# (?:\S+ = |(?:newdoc|newpar|sent_id|text)(?: |$)|[^\t]*\t)")
# CoNLL-2012's own line before a document; its rows have a column for every predicate of their sentence.
_BEGIN_2012 = "#begin document"
# What no text on a pipe begins with.
_BEGIN = re.compile(rf"{_DOCUMENT}|{_BEGIN_2012}|# (?:\S+ = |(?:newdoc|newpar)(?: |$)|[^\t]*\t)")


@dataclass(frozen=True, slots=True)
class Form:
    """How the columns of the words are parted, by tabs or by runs of blanks, and how many there are.

    line: the word line that shows it.
    """

    tabs: bool
    width: int
    line: int

    @classmethod
    def of(cls, text: str, line: int) -> Form:
        tabs = "\t" in text
        return cls(tabs=tabs, width=len(_cells(text, tabs=tabs)), line=line)

    def cells(self, text: str) -> list[str]:
        return _cells(text, tabs=self.tabs)

    def is_comment(self, text: str) -> bool:
        """Whether a line before a sentence's first word is a comment (see `Conll`)."""
        if not text.startswith(_COMMENT):
            return False
        return len(self.cells(text)) != self.width or (not self.tabs and bool(_METADATA.match(text)))


@dataclass(frozen=True, slots=True)
class Conll:
    """A file of words, one a line, and sentences of them. A row is a sentence: a list for each chosen column.

    Columns are parted by a tab each if the first word line holds one, and a word may then hold blanks; else by runs
    of blanks. Every word line has as many columns as the first. They are called words (the first) and tags (the last
    of several), those between by their numbers. If the first counts the words of the first sentence, 1, 2, 3 …, it is
    called id, and the second words.

    No words, and the end of a sentence: lines of white space alone, and ``-DOCSTART-`` lines.

    A comment begins with ``#`` and a blank or tab, stands before the first word of its sentence, and has not as many
    columns as a word line. So ``#<tab>O`` and ``#hashtag<tab>O`` are words, and a hashtag that lost its tag is an
    error, not a comment. Where blanks part the columns, ``# key = value``, ``# newdoc`` and ``# id 7<tab>domain=en``
    are comments of any width.
    """

    source: Source
    columns: Columns
    form: Form

    @property
    def note(self) -> str:
        columns = "1 column" if self.form.width == 1 else f"{self.form.width} columns"
        return f"CoNLL, one word a line, {columns}, {'tab' if self.form.tabs else 'blank'}-separated"

    def rows(self, choices: Sequence[Choice]) -> Iterator[Row]:
        for sentence in _sentences(self.source, self.source.lines(), self.form):
            for line, cells in sentence:
                for choice in choices:
                    if not cells[choice.position]:
                        message = f"column {choice.position + 1} is empty, and {choice.input} needs a value"
                        raise DataError(message, place=self.source.place(line))
            values = {choice.input: [cells[choice.position] for _, cells in sentence] for choice in choices}
            yield Row(values, self.source.place(sentence[0][0]), lines=tuple(line for line, _ in sentence))


def open_conll(source: Source, *, options: ReadOptions, wanted: Wanted) -> Conll:  # noqa: ARG001
    """Opens a CoNLL file. Options of delimited files do not concern it.

    Raises: DataError for a file without rows, and for one of CoNLL-2012, whose sentences differ in their columns.
    """
    if line := _begin_2012(source):
        message = (
            f"{_BEGIN_2012!r} begins a file of CoNLL-2012, whose sentences differ in their columns and whose entities"
            " stand in brackets, as '(PERSON*'; write a file of two columns, each word with its tag B-PERSON, I-PERSON"
            " or O (docs/tag.md has a command for it)"
        )
        raise DataError(message, place=source.place(line))
    form = _form(source)
    if form is None:
        raise no_rows(source)
    first = ("id", "words") if _is_numbered(source, form) else ("words",)
    between = (str(number) for number in range(len(first) + 1, form.width))
    cells = (*first, *between, "tags") if form.width > len(first) else first
    return Conll(source, Columns(cells=cells, named=True, place=source.place(form.line)), form)


def _begin_2012(source: Source) -> int | None:
    """The line on which a file of CoNLL-2012 begins; None if it is none."""
    number, line = next(((number, line) for number, line in enumerate(source.peek(), 1) if not line.isspace()), (0, ""))
    return number if line.startswith(_BEGIN_2012) else None


def looks_like_conll(source: Source, *, may_be_text: bool = False) -> bool:
    """Whether a file's first lines are sentences of words, all in equally many columns, two or more.

    A blank in the last column tells that a line is a row of a table, all tags of a sentence in one cell. may_be_text:
    the lines may be texts; then, of columns parted by blanks, the last may not look like a word of a text.
    """
    if _begin_2012(source):
        return True  # and says why it cannot be read
    form = _form(source)
    if form is None or form.width == 1:
        return False
    try:
        sentences = list(_sentences(source, itertools.islice(source.peek(), _LOOK_AT), form))
    except DataError:
        return False
    last = [cells[-1] for sentence in sentences for _, cells in sentence]
    if may_be_text and not form.tabs and any(map(_may_be_of_text, last)):
        return False
    return len(sentences) > 1 and not any(" " in cell for cell in last)


def _may_be_of_text(cell: str) -> bool:
    """Whether a cell looks like a word of a text and not like a tag: small letters, perhaps after a capital."""
    letters = cell.strip(".,;:!?\"'()")
    return not cell.isascii() or (len(letters) > 1 and letters.isalpha() and letters[1:].islower())


# The type of an entity begins with a letter, unlike what stands in "vitamin B-12".
_TAG = re.compile(r"O|[BIESLUM]-[^\W\d]\S*")
_FEWEST = 3


def look_tagged(texts: Sequence[str]) -> bool:
    """Whether texts look like words with their tags, parted by blanks: all have equally many parts, and a tag last."""
    rows = [text.split() for text in texts]
    return (
        len(rows) >= _FEWEST
        and len(rows[0]) > 1
        and all(len(row) == len(rows[0]) and _TAG.fullmatch(row[-1]) for row in rows)
    )


def begins_like_conll(source: Source) -> bool:
    """Whether the first lines of a pipe are those of a file of words, told without a line more than is needed.

    They are if they are metadata, or a document's begin, or if a tab parts a word from a last column without a blank.
    Words parted by blanks alone look like any text.
    """
    for line in source.peek():
        text = without_end(line)
        if _BEGIN.match(text):
            return True
        if not _ends_sentence(text):
            first, *_, last = _cells(text, tabs=True) if "\t" in text else ("", "", " ")
            return bool(first and last) and " " not in last
    return False


def _form(source: Source) -> Form | None:
    """The form of the first line that is a word beyond doubt, else of the first that may be one; None without such."""
    doubtful = None
    for number, line in enumerate(source.peek(), 1):
        text = without_end(line)
        if not _ends_sentence(text):
            if not text.startswith(_COMMENT):
                return Form.of(text, number)
            if doubtful is None and text.startswith("#\t"):
                doubtful = Form.of(text, number)
    return doubtful


def _is_numbered(source: Source, form: Form) -> bool:
    if form.width == 1:
        return False
    try:
        first = next(_sentences(source, source.peek(), form), [])
    except DataError:  # said when the rows are read
        return False
    return len(first) > 1 and all(cells[0] == str(number) for number, (_, cells) in enumerate(first, 1))


def _sentences(source: Source, lines: Iterable[str], form: Form) -> Iterator[list[tuple[int, list[str]]]]:
    """Each sentence's words: their lines and their cells."""
    sentence: list[tuple[int, list[str]]] = []
    for number, line in enumerate(lines, 1):
        text = without_end(line)
        if _ends_sentence(text):
            if sentence:
                yield sentence
                sentence = []
        elif sentence or not form.is_comment(text):
            cells = form.cells(text)
            if len(cells) != form.width:
                raise _wrong_width(source, form, text, number)
            sentence.append((number, cells))
    if sentence:
        yield sentence


def _ends_sentence(text: str) -> bool:
    """Whether a line parts sentences: it holds white space alone, or begins a document of CoNLL-2003."""
    parts = text.split(maxsplit=1)
    return not parts or parts[0] == _DOCUMENT


def _cells(text: str, *, tabs: bool) -> list[str]:
    return [cell.strip(" ") for cell in text.split("\t")] if tabs else _BLANKS.split(text.strip(" \t"))


def _wrong_width(source: Source, form: Form, text: str, line: int) -> DataError:
    width = len(form.cells(text))
    found = "1 column" if width == 1 else f"{width} columns"
    if text.startswith(_COMMENT):
        hint = "a comment stands before the first word of a sentence"
    else:
        hint = "a blank line ends a sentence"
    parted = "a tab each" if form.tabs else "blanks"
    message = f"{found} ({clipped(text)}), expected {form.width}, parted by {parted}, as on line {form.line}; {hint}"
    return DataError(message, place=source.place(line))

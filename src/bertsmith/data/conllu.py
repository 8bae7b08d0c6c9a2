"""CoNLL-U, the format of the Universal Dependencies: https://universaldependencies.org/format.html"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bertsmith.data.columns import Columns, clipped
from bertsmith.data.source import without_end
from bertsmith.data.table import no_rows
from bertsmith.errors import DataError
from bertsmith.records import Row

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bertsmith.data.columns import Choice
    from bertsmith.data.source import Source
    from bertsmith.data.table import ReadOptions, Wanted
    from bertsmith.records import Place

NAMES = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
_FEATS = NAMES.index("feats")
_NOTHING = "_"
_WORD = re.compile("[1-9][0-9]*")
_NO_WORD = re.compile("[0-9]+[-.][0-9]+")  # 5-6 is written as one and means two words, 8.1 was left out by the writer


@dataclass(frozen=True, slots=True)
class ConllU:
    """A CoNLL-U file. A row is a sentence: for each chosen column, the list of its values over the words.

    Beside the ten columns, each feature that a word of the file has is one, as feats.Number: the feature's value, and
    ``_`` for a word without it. Multi-word tokens (``5-6``) and empty nodes (``8.1``) are no words.
    """

    source: Source
    columns: Columns

    @property
    def note(self) -> str:
        return "CoNLL-U, one word a line"

    def rows(self, choices: Sequence[Choice]) -> Iterator[Row]:
        for sentence in self._sentences():
            lines = tuple(line for line, _ in sentence)
            values = {
                choice.input: [_value(choice, fields, self.source.place(line)) for line, fields in sentence]
                for choice in choices
            }
            yield Row(values, self.source.place(lines[0]), lines=lines)

    def _sentences(self) -> Iterator[list[tuple[int, list[str]]]]:
        """Each sentence's words: their lines and their ten fields."""
        sentence: list[tuple[int, list[str]]] = []
        for number, line in enumerate(self.source.lines(), 1):
            text = without_end(line)
            if not text or text.isspace():
                if sentence:
                    yield sentence
                    sentence = []
            elif not text.startswith("#"):
                fields = text.split("\t")
                if self._is_word(fields, self.source.place(number), after=len(sentence)):
                    sentence.append((number, fields))
            elif sentence:
                message = "a comment inside a sentence; comments stand before its first word, sentences end with"
                raise DataError(f"{message} a blank line", place=self.source.place(number))
        if sentence:
            yield sentence

    def _is_word(self, fields: Sequence[str], place: Place, *, after: int) -> bool:
        """Whether a line is a word; `after` is how many words of its sentence stand before it."""
        if len(fields) != len(NAMES):
            found = "1 field" if len(fields) == 1 else f"{len(fields)} fields"
            message = f"{found} ({clipped(chr(9).join(fields))}), expected {len(NAMES)} with a tab between each two"
            raise DataError(f"{message}; files of other columns are read with --format conll", place=place)
        if _NO_WORD.fullmatch(fields[0]):
            return False
        if not _WORD.fullmatch(fields[0]):
            message = f"{clipped(fields[0])} is no id; ids are 1, 2, 3 …, 5-6 for a multi-word token, 8.1 for an empty"
            raise DataError(f"{message} node", place=place)
        if fields[0] != str(after + 1):
            hint = "; a blank line ends a sentence" if fields[0] == "1" else ""
            message = f"the id is {clipped(fields[0])}, expected {str(after + 1)!r}: the ids of a sentence's words are"
            raise DataError(f"{message} 1, 2, 3 …{hint}", place=place)
        return True


def open_conllu(source: Source, *, options: ReadOptions, wanted: Wanted) -> ConllU:  # noqa: ARG001
    """Opens a CoNLL-U file. It is read through once for its features; of a pipe, whose features are not columns, only
    what stands before the first word. Options of delimited files do not concern it."""
    first = next((number for number, line in enumerate(source.peek(), 1) if _is_no_comment(line)), None)
    if first is None:
        raise no_rows(source)
    features = () if source.once else tuple(f"feats.{name}" for name in _features_in(source))
    return ConllU(source, Columns(cells=(*NAMES, *features), named=True, place=source.place(first)))


def looks_like_conllu(source: Source) -> bool:
    """Whether a file's first line of words has the ten columns of CoNLL-U, the first of them the id."""
    fields = next(filter(_is_no_comment, source.peek()), "").split("\t")
    return len(fields) == len(NAMES) and (fields[0] == "1" or bool(_NO_WORD.fullmatch(fields[0])))


def _is_no_comment(line: str) -> bool:
    return not line.isspace() and not line.startswith("#")


def _features_in(source: Source) -> list[str]:
    written = set()  # few, as most words have the features of others
    for line in source.peek():
        fields = line.split("\t")
        if len(fields) == len(NAMES) and _WORD.fullmatch(fields[0]):
            written.add(fields[_FEATS])
    names = {part.partition("=")[0] for feats in written for part in feats.split("|") if "=" in part}
    return sorted(names, key=str.lower)


def _value(choice: Choice, fields: Sequence[str], place: Place) -> str:
    if choice.position >= len(NAMES):
        return _features(fields[_FEATS], place).get(choice.column.removeprefix("feats."), _NOTHING)
    value = fields[choice.position]
    if not value.strip(" "):
        message = f"{choice.column} is empty, and {choice.input} needs a value; CoNLL-U writes {_NOTHING} for nothing"
        raise DataError(message, place=place)
    return value


def _features(feats: str, place: Place) -> dict[str, str]:
    if feats == _NOTHING:
        return {}
    parts = [part.partition("=") for part in feats.split("|")]
    if not all(name and value for name, _, value in parts):
        message = f"feats must be as in Case=Nom|Number=Sing, or {_NOTHING} for none, got {clipped(feats)}"
        raise DataError(message, place=place)
    return {name: value for name, _, value in parts}

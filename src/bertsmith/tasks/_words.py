"""Rows of words: how text is split into words, how tags and spans are read, and an example of both.

Letters: W words of an example.
"""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from bertsmith import schemes
from bertsmith.data import text_of
from bertsmith.errors import DataError
from bertsmith.records import Place
from bertsmith.schemes import Entity, Scheme

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bertsmith.records import Row

Tags = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TagExample:
    """A text as words, with the tag of each (None where the row has none) and where it was read.

    word_spans: int32 [W, 2], half-open character spans of the words in `text`. lines: the line of each word, where
    each has one. from_text: the row held a text, and the words are `split_words`'s. widened: how many of the row's
    spans began or ended inside a word.
    """

    text: str
    words: tuple[str, ...]
    word_spans: NDArray[np.int32] = field(compare=False, repr=False)
    target: Tags | None
    place: Place
    lines: tuple[int, ...] = ()
    from_text: bool = False
    widened: int = 0

    def place_of(self, word: int) -> Place:
        """The place of a word: its own line if it has one."""
        return Place(self.place.source, self.lines[word]) if word < len(self.lines) else self.place


def read_example(row: Row, scheme: Scheme) -> TagExample:
    """A row's words, or its text split into words, and their tags.

    scheme: in which spans become tags. Words without a text are joined by blanks to one. Where a row has tags and
    spans, its words take the tags, its text the spans.
    Raises DataError, with the line of the word where words have lines.
    """
    values = row.values
    from_text = values.get("words") is None
    if from_text:
        if values.get("text") is None:
            raise DataError("there are neither words nor a text", place=row.place)
        text = text_of(row, "text")
        word_spans = split_words(text)
        words = tuple(text[start:stop] for start, stop in word_spans.tolist())
    else:
        words, offsets = _words(row)
        if values.get("text") is None:
            text, word_spans = " ".join(words), _joined(words)
        else:
            text = text_of(row, "text")
            word_spans = _located(words, text, row) if offsets is None else _checked(offsets, words, text, row)
    target, widened = None, 0
    if values.get("tags") is not None and not (from_text and values.get("spans") is not None):
        if from_text:
            message = "there are tags, but no words to have them: say which column holds the words, as in --words NAME"
            raise DataError(message, place=row.place)
        target = _tags(row, len(words))
    elif values.get("spans") is not None:
        if values.get("text") is None:
            raise DataError("spans count characters of a text, and there are words alone", place=row.place)
        target, widened = _tags_of_spans(row, text, word_spans, scheme)
    return TagExample(
        text=text,
        words=words,
        word_spans=word_spans,
        target=target,
        place=row.place,
        lines=() if from_text else row.lines,
        from_text=from_text,
        widened=widened,
    )


# From here on: words.


def _words(row: Row) -> tuple[tuple[str, ...], list[tuple[Any, Any]] | None]:
    """The words, and where they are said to lie, if all are objects that say so, as Prodigy writes them."""
    items = _listed(row, "words")
    found: list[Any] = [item.get("text") if isinstance(item, dict) else item for item in items]
    for number, word in enumerate(found):
        if not isinstance(word, str) or not word:
            message = f"word {number + 1} must be a string that is not empty, got {items[number]!r}"
            raise DataError(message, place=_at(row, number))
        try:
            word.encode()
        except UnicodeEncodeError:
            message = f"word {number + 1} {word!r} holds half a surrogate pair; it is not valid Unicode"
            raise DataError(message, place=_at(row, number)) from None
    said = [(item["start"], item["end"]) for item in items if isinstance(item, dict) and {"start", "end"} <= {*item}]
    return tuple(found), said if said and len(said) == len(items) else None


def _listed(row: Row, name: str) -> Sequence[Any]:
    """The items of a list, of one as JSON in a cell of a table, or of a text with blanks between them."""
    value = row.values[name]
    if isinstance(value, str):
        found = _json_list(value)
        return value.split() if found is None or not all(isinstance(item, str | dict) for item in found) else found
    if isinstance(value, list | tuple):
        return value
    kind = f"{type(value).__name__} {str(value)[:40]!r}"
    raise DataError(f"{name} must be a list, or one text with blanks between them, got {kind}", place=row.place)


def _json_list(text: str) -> list[Any] | None:
    if not text.lstrip().startswith("["):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):  # no JSON, a number of thousands of digits, thousands of brackets
        return None
    return found if isinstance(found, list) else None


def _at(row: Row, word: int) -> Place:
    return Place(row.place.source, row.lines[word]) if word < len(row.lines) else row.place


def _joined(words: Sequence[str]) -> NDArray[np.int32]:
    """Where words lie in their text if it is they with a blank between each two."""
    length_W = np.fromiter(map(len, words), dtype=np.int64, count=len(words))
    stop_W = np.cumsum(length_W + 1) - 1
    return np.stack([stop_W - length_W, stop_W], axis=1).astype(np.int32)


def _located(words: Sequence[str], text: str, row: Row) -> NDArray[np.int32]:
    """Where words lie in a text that holds them one after another, with nothing between them but blanks."""
    spans, after = [], 0
    for number, word in enumerate(words):
        start = text.find(word, after)
        if start < 0:
            message = f"word {number + 1} {word!r} is not in the text after character {after}, where that goes on"
            raise DataError(f"{message} {text[after : after + 20]!r}{_OTHERWISE_WRITTEN}", place=_at(row, number))
        if between := _seen(text[after:start]):
            message = f"word {number + 1} {word!r} is in the text at character {start}, but before it stands"
            raise DataError(f"{message} {between!r}, of no word{_OTHERWISE_WRITTEN}", place=_at(row, number))
        after = start + len(word)
        spans.append((start, after))
    if words and (left := _seen(text[after:])):
        message = f"after the last word, {words[-1]!r}, the text goes on {left!r}, of no word"
        raise DataError(f"{message}{_OTHERWISE_WRITTEN}", place=_at(row, len(words) - 1))
    return np.array(spans, dtype=np.int32).reshape(-1, 2)


_OTHERWISE_WRITTEN = (
    '; if words are written otherwise than in the text (`` for "), leave it out: give its column a name that is not '
    "guessed"
)


def _seen(text: str) -> str:
    """The first words of a text, if it holds any, for a message."""
    found = split_words(text).tolist()
    return text[found[0][0] :][:20].rstrip() if found else ""


def _checked(offsets: Sequence[tuple[Any, Any]], words: Sequence[str], text: str, row: Row) -> NDArray[np.int32]:
    """Where words lie in a text, as is said. Raises DataError where other characters stand there, or out of order."""
    after = 0
    for number, ((start, stop), word) in enumerate(zip(offsets, words, strict=True)):
        whole = all(isinstance(offset, int) and not isinstance(offset, bool) for offset in (start, stop))
        if not whole or not after <= start < stop <= len(text):
            message = f"word {number + 1} {word!r} must have whole numbers {after} ≤ start < end ≤ {len(text)}"
            raise DataError(f"{message}, characters of the text, got {start!r} and {stop!r}", place=_at(row, number))
        if text[start:stop] != word:
            message = f"word {number + 1} is said to be {word!r}, but at {start} to {stop} the text has"
            raise DataError(f"{message} {text[start:stop]!r}; offsets count characters", place=_at(row, number))
        after = stop
    return np.array(offsets, dtype=np.int32).reshape(-1, 2)


def split_words(text: str) -> NDArray[np.int32]:
    """The words of a text: int32 [W, 2], half-open character spans.

    A word is a run of letters, marks, digits and ``_``; or a single other visible character. Marks, variation
    selectors and joiners belong to what they follow, so that an emoji of several characters is one word. Of Chinese
    and Japanese, which are written without blanks, every character is one.
    """
    found = _ASCII_WORD.finditer(text) if text.isascii() else _WORD.finditer(text.translate(_KINDS))
    return np.array([match.span() for match in found], dtype=np.int32).reshape(-1, 2)


_ASCII_WORD = re.compile(r"[0-9A-Za-z_]+|[!-~]")
# Over the kinds of the characters, one letter each: w letter or digit, m mark, j zero-width joiner, f another
# invisible mark of format, c Chinese or Japanese, s visible sign, k skin tone, r half of a flag, blank: no word.
_WORD = re.compile("[wm][wmjf]*|c[mjf]*|rr?[mjf]*|[sk](?:[mkf]|js?)*")
_UNWRITTEN = {"\u200b", "\ufeff"}  # zero-width space, byte order mark: they part words


class _Kinds(dict[int, str]):
    """The kind of every character, as they come."""

    def __missing__(self, code: int) -> str:
        kind = self[code] = _kind(chr(code))
        return kind


_KINDS = _Kinds()


def _kind(character: str) -> str:
    code, category = ord(character), unicodedata.category(character)
    if character in _UNWRITTEN or category[0] == "Z" or category == "Cc":
        return " "
    if category[0] == "M":
        return "m"
    if category[0] in "LN" or character == "_":
        return "c" if _stands_alone(code) else "w"
    if category == "Cf":
        return "j" if character == "\u200d" else "f"
    if 0x1F3FB <= code <= 0x1F3FF:
        return "k"
    return "r" if 0x1F1E6 <= code <= 0x1F1FF else "s"


def _stands_alone(code: int) -> bool:
    """Whether a letter is Han, Hiragana or Katakana."""
    return (
        0x3005 <= code <= 0x3007
        or 0x3041 <= code <= 0x30FF
        or 0x31F0 <= code <= 0x31FF
        or 0x3400 <= code <= 0x4DBF
        or 0x4E00 <= code <= 0x9FFF
        or 0xF900 <= code <= 0xFAFF
        or 0xFF66 <= code <= 0xFF9F
        or 0x20000 <= code <= 0x3FFFF
    )


# From here on: tags.


def _tags(row: Row, words: int) -> Tags:
    found = _listed(row, "tags")
    if len(found) != words:
        raise DataError(f"{_counted(words, 'word')}, but {_counted(len(found), 'tag')}", place=row.place)
    return tuple(_name(tag, f"tag {number + 1}", _at(row, number)) for number, tag in enumerate(found))


def _name(value: Any, what: str, place: Place) -> str:
    """A tag as its name: text as it stands without blanks around it, whole numbers without a decimal point."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise DataError(f"{what} must be a name or a whole number, got {value!r}", place=place)
    name = str(value).strip()
    if not name:
        raise DataError(f"{what} is empty", place=place)
    return name


@dataclass(frozen=True, slots=True)
class _Span:
    """A labelled part of a text, in characters; number: which of the row's it is, from 1."""

    start: int
    stop: int
    label: str
    number: int


def _tags_of_spans(row: Row, text: str, word_spans: NDArray[np.int32], scheme: Scheme) -> tuple[Tags, int]:
    """The tags of words that spell the row's spans, and how many of these had to be widened to whole words."""
    if scheme is Scheme.PLAIN:
        raise DataError("spans are entities, and the scheme is plain: only words have such tags", place=row.place)
    spans = sorted(_spans(row, text), key=lambda span: span.start)
    found: list[Entity] = []
    widened = 0
    for number, span in enumerate(spans):
        before = spans[number - 1] if number else None
        if before is not None and span.start < before.stop:
            raise DataError(f"{_told(before)} and {_told(span)} overlap", place=row.place)
        first = int(np.searchsorted(word_spans[:, 1], span.start, side="right"))
        stop = int(np.searchsorted(word_spans[:, 0], span.stop, side="left"))
        if first >= stop:
            raise DataError(f"{_told(span)} holds no word, only {text[span.start : span.stop]!r}", place=row.place)
        if before is not None and first < found[-1].stop:
            word = text[slice(*word_spans[first].tolist())]
            message = f"{_told(before)} and {_told(span)} share the word {word!r}, which can be of one only"
            raise DataError(message, place=row.place)
        widened += bool(word_spans[first, 0] < span.start or word_spans[stop - 1, 1] > span.stop)
        found.append(Entity(span.label, first, stop))
    return tuple(schemes.spelled(found, len(word_spans), scheme)), widened


def _spans(row: Row, text: str) -> list[_Span]:
    value = row.values["spans"]
    if isinstance(value, str):  # a cell of a table
        value = _json_list(value) if value.strip() else []
    if not isinstance(value, list | tuple):
        message = 'must be a list of [start, stop, label] or {"start": …, "end": …, "label": …}, got'
        raise DataError(f"spans {message} {row.values['spans']!r}", place=row.place)
    return [_span(item, number, row, text) for number, item in enumerate(value, start=1)]


def _span(item: Any, number: int, row: Row, text: str) -> _Span:
    start: Any
    stop: Any
    said = None
    if isinstance(item, dict):
        start = item.get("start", item.get("start_offset"))
        stop = item.get("end", item.get("stop", item.get("end_offset")))
        label, said = item.get("label", item.get("type")), item.get("text")
    elif isinstance(item, list | tuple) and len(item) == 3:
        start, stop, label = item
    else:
        message = f'span {number} must be [start, stop, label] or {{"start": …, "end": …, "label": …}}, got {item!r}'
        raise DataError(message, place=row.place)
    for name, offset in (("start", start), ("stop", stop)):
        if isinstance(offset, bool) or not isinstance(offset, int):
            raise DataError(f"span {number}: {name} must be a whole number, got {offset!r}", place=row.place)
    if not 0 <= start < stop <= len(text):
        message = f"span {number} must have 0 ≤ start < stop ≤ {len(text)}, the characters of the text"
        raise DataError(f"{message}, got {start} and {stop}", place=row.place)
    if isinstance(said, str) and said != text[start:stop]:
        message = f"span {number} is said to be {said!r}, but at {start} to {stop} the text has {text[start:stop]!r}"
        raise DataError(f"{message}; offsets count characters", place=row.place)
    return _Span(start, stop, _name(label, f"the label of span {number}", row.place), number)


def _told(span: _Span) -> str:
    return f"span {span.number} ({span.label!r}, {span.start} to {span.stop})"


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"

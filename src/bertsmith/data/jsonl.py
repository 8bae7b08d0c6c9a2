"""JSON Lines: one object a line. Values keep their JSON types; a task asks for a text by `text_of`."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bertsmith.data.columns import Columns, is_null
from bertsmith.data.source import without_end
from bertsmith.data.table import no_rows
from bertsmith.errors import DataError, listed, nearest
from bertsmith.records import Row

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bertsmith.data.columns import Choice
    from bertsmith.data.source import Source
    from bertsmith.data.table import ReadOptions, Wanted
    from bertsmith.records import Place

_LOOK_AT = 100
_ONE_A_LINE = "JSONL holds one object a line"


class DuplicateKeyError(ValueError):
    """An object holds the key, which is the message, twice."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        raise DuplicateKeyError(next(key for key in keys if keys.count(key) > 1))
    return values


# Raises DuplicateKeyError where Python's own decoder keeps the last of the values.
DECODER = json.JSONDecoder(object_pairs_hook=_unique)


@dataclass(frozen=True, slots=True)
class JsonLines:
    """A JSONL file. Its columns are the keys of its first objects; blank lines hold no row."""

    source: Source
    columns: Columns

    @property
    def note(self) -> str:
        return "one JSON object a line"

    def rows(self, choices: Sequence[Choice]) -> Iterator[Row]:
        for line, text in enumerate(self.source.lines(), 1):
            if not text.isspace():
                record = _object(self.source, line, text)
                yield Row(self._values(choices, record, line, text), self.source.place(line))

    def _values(self, choices: Sequence[Choice], record: dict[str, Any], line: int, text: str) -> dict[str, Any]:
        values = {}
        for choice in choices:
            key = choice.column
            value = record.get(key)
            if value is not None:
                values[choice.input] = value
            elif key in record and not choice.nullable:
                raise DataError(is_null(choice), place=self.source.place(line))
            elif choice.required:
                message = f"there is no key {key!r} for {choice.input}; keys are {listed(record)}"
                raise DataError(message + nearest(key, record), place=self.source.place(line))
        if "\\u" in text:
            check_characters(values, self.source.place(line))
        return values


def check_characters(value: Any, place: Place) -> None:
    """Raises DataError where a JSON value holds half a surrogate pair, which no encoding and no tokenizer takes.

    A ``\\u`` escape is the one way to write it.
    """
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(error.object[error.start]):04x}"
        message = f"{half} is half of a surrogate pair, and not a character; write both halves, or UTF-8"
        raise DataError(message, place=place) from None


def open_jsonl(source: Source, *, options: ReadOptions, wanted: Wanted) -> JsonLines:  # noqa: ARG001
    """Opens a JSONL file. Options of delimited files do not concern it."""
    keys: dict[str, None] = {}  # in the order of their first appearance
    first: int | None = None
    # the first object may lack a key, so more are looked at; but whoever writes to a pipe may wait for an answer
    for line, text in enumerate(itertools.islice(source.peek(), None if source.once else _LOOK_AT), 1):
        if not text.isspace():
            try:
                keys |= dict.fromkeys(_object(source, line, text))
            except DataError:
                if first is None:
                    raise
                break  # said when the row is read
            first = first or line
            if source.once:
                break
    if first is None:
        raise no_rows(source)
    return JsonLines(source, Columns(cells=tuple(keys), named=True, place=source.place(first)))


def _object(source: Source, line: int, text: str) -> dict[str, Any]:
    place = source.place(line)
    try:
        value = DECODER.decode(without_end(text))
    except json.JSONDecodeError as error:
        if text.lstrip().startswith("["):
            raise _array(place) from None
        message = f"not valid JSON at column {error.pos + 1}: {error.msg}; {_ONE_A_LINE}"
        raise DataError(message, place=place) from None
    except DuplicateKeyError as error:
        raise DataError(f"the key {str(error)!r} is there twice in one object", place=place) from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, thousands of brackets
        raise DataError(f"not usable JSON: {error}", place=place) from None
    if isinstance(value, dict):
        return value
    if isinstance(value, list):
        raise _array(place)
    raise DataError(f"a JSON {type(value).__name__}, not an object; {_ONE_A_LINE}", place=place)


def _array(place: Place) -> DataError:
    message = f"a JSON array; {_ONE_A_LINE}: jq -c '.[]' FILE writes an array of objects so"
    return DataError(message, place=place)

"""SQuAD's JSON, v1.1 and v2.0: articles of paragraphs of questions (Rajpurkar et al. 2016, 2018)."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bertsmith.data.columns import Columns, clipped, is_null
from bertsmith.data.jsonl import DECODER, DuplicateKeyError, check_characters
from bertsmith.data.table import no_rows
from bertsmith.errors import DataError, listed, nearest
from bertsmith.records import Place, Row

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bertsmith.data.columns import Choice
    from bertsmith.data.source import Source
    from bertsmith.data.table import ReadOptions, Wanted

_EXPECTED = 'expected SQuAD\'s object: {"data": [{"paragraphs": [{"context": …, "qas": [{"question": …}]}]}]}'
_COLUMNS = ("id", "question", "context", "answers", "is_impossible", "title")
_ALWAYS = ("question", "context")
_ANSWERS = ("answers", "is_impossible")
_KINDS = {"a list": list, "an object": dict, "a string": str}


@dataclass(frozen=True, slots=True)
class Squad:
    """A SQuAD file; a row is a question, its place the path to it, as data[0].paragraphs[3].qas[1].

    Values are as in the JSON. The questions on a paragraph share its text. The columns but question and context are
    there if a question has them. A question without answers has none among its values: whether it may is for the task
    to say.
    """

    source: Source
    columns: Columns
    questions: Sequence[tuple[Place, Mapping[str, Any]]]

    @property
    def note(self) -> str:
        return "SQuAD JSON"

    def rows(self, choices: Sequence[Choice]) -> Iterator[Row]:
        for place, question in self.questions:
            values = {}
            for choice in choices:
                value = question.get(choice.column)
                if value is not None:
                    values[choice.input] = value
                elif choice.column in question:
                    raise DataError(is_null(choice), place=place)
                elif choice.required and choice.column not in _ANSWERS:
                    raise DataError(f"there is no {choice.column!r} for {choice.input}", place=place)
            yield Row(values, place)


def open_squad(source: Source, *, options: ReadOptions, wanted: Wanted) -> Squad:  # noqa: ARG001
    """Opens a SQuAD file, and reads it whole. Options of delimited files do not concern it.

    Raises: DataError where it is not JSON, or not of SQuAD's form, or where two questions have one id.
    """
    text = "".join(source.lines())
    if not text or text.isspace():
        raise no_rows(source)
    document = _decoded(source, text)
    _check_form(document, source.place())
    # only an escape can write what is no character
    questions = list(_questions(document, source.place(), escapes="\\u" in text))
    if not questions:
        raise no_rows(source)
    held = {*_ALWAYS}.union(*(question for _, question in questions))
    cells = tuple(name for name in _COLUMNS if name in held)
    return Squad(source, Columns(cells=cells, named=True, place=source.place()), questions)


def _questions(document: Mapping[str, Any], root: Place, *, escapes: bool) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    seen: dict[str, Place] = {}
    for at_article, article in _objects(document, "data", root):
        title = {"title": article["title"]} if "title" in article else {}
        for at_paragraph, paragraph in _objects(article, "paragraphs", at_article):
            context = _held(paragraph, "context", "a string", at_paragraph)
            if escapes:
                check_characters([title, context], at_paragraph)
            for place, question in _objects(paragraph, "qas", at_paragraph):
                _held(question, "question", "a string", place)
                if escapes:
                    check_characters(question, place)
                if "id" in question:
                    _check_id(question["id"], place, seen)
                yield (
                    place,
                    {**title, "context": context, **{key: question[key] for key in question if key in _COLUMNS}},
                )


def _objects(holder: Mapping[str, Any], key: str, at: Place) -> Iterator[tuple[Place, dict[str, Any]]]:
    """The objects in the list that `holder` has as `key`, each with its place."""
    for number, item in enumerate(_held(holder, key, "a list", at)):
        place = _inside(at, f"{key}[{number}]")
        if not isinstance(item, dict):
            raise DataError(f"must be an object, got {_form(item)}", place=place)
        yield place, item


def _held(holder: Mapping[str, Any], key: str, kind: str, at: Place) -> Any:
    """What `holder` has as `key`. Raises DataError where it is lacking or not of the kind."""
    if key not in holder:
        hint = "; jq -c '.data[]' FILE makes JSONL of such rows" if _is_row(holder) else nearest(key, holder)
        raise DataError(f"there is no {key!r}, {kind}; keys are {listed(holder) or 'none'}{hint}", place=at)
    if not isinstance(holder[key], _KINDS[kind]):
        raise DataError(f"must be {kind}, got {_form(holder[key])}", place=_inside(at, key))
    return holder[key]


def _is_row(holder: Mapping[str, Any]) -> bool:
    return "paragraphs" not in holder and "question" in holder and "context" in holder


def _check_id(value: Any, place: Place, seen: dict[str, Place]) -> None:
    """Raises DataError for an id that is none, or that a question before has, too. Answers are filed by it."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise DataError(f"must be a string or a whole number, got {_form(value)}", place=_inside(place, "id"))
    first = seen.setdefault(str(value), place)
    if first is not place:
        raise DataError(f"the id {clipped(value)} is that of {first.path}, too; ids must differ", place=place)


def _inside(place: Place, step: str) -> Place:
    return replace(place, path=f"{place.path}.{step}" if place.path else step)


def _decoded(source: Source, text: str) -> Any:
    try:
        return DECODER.decode(text)
    except json.JSONDecodeError as error:
        several = error.msg == "Extra data" and error.lineno > 1
        hint = "; one object a line is JSONL: --format jsonl" if several else ""
        message = f"not valid JSON at column {error.colno}: {error.msg}{hint}"
        raise DataError(message, place=source.place(error.lineno)) from None
    except DuplicateKeyError as error:
        raise DataError(f"the key {str(error)!r} is there twice in one object", place=source.place()) from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, thousands of brackets
        raise DataError(f"not usable JSON: {error}", place=source.place()) from None


def _check_form(document: Any, place: Place) -> None:
    if isinstance(document, dict) and isinstance(document.get("data"), list):
        return
    if isinstance(document, list):
        hint = "; jq -c '.[]' FILE makes JSONL of a list of rows"
    else:
        hint = "; one object a line is JSONL: --format jsonl" if isinstance(document, dict) else ""
    found = _form(document)
    if isinstance(document, dict) and "data" in document:
        found, hint = f"{found}, 'data' being {_form(document['data'])}", ""
    raise DataError(f"{found}; {_EXPECTED}{hint}", place=place)


def _form(value: Any) -> str:
    """What a JSON value is, for a message."""
    match value:
        case dict():
            return f"an object with the keys {listed(value)}" if value else "an empty object"
        case []:
            return "an empty list"
        case list():
            return f"a list of {len(value)}, the first {_form(value[0])}"
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case str():
            return f"the string {clipped(value)}"
        case _:
            return f"the number {clipped(value)}"

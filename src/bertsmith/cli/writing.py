"""The forms in which answers are written: JSONL, CSV, CoNLL of words and tags, SQuAD's file of answers by id."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from bertsmith.errors import InputError, SettingsError

if TYPE_CHECKING:
    from pathlib import Path
    from typing import TextIO

Write: TypeAlias = Callable[[Mapping[str, Any]], None]


@contextmanager
def _jsonl(stream: TextIO) -> Iterator[Write]:
    def write(record: Mapping[str, Any]) -> None:
        stream.write(json.dumps(record, ensure_ascii=False, default=str) + "\n")

    yield write


@contextmanager
def _csv(stream: TextIO) -> Iterator[Write]:
    """The first record's names are the header; a table within a record gets a column for each of its names."""
    writer = csv.writer(stream)
    columns: list[str] = []

    def write(record: Mapping[str, Any]) -> None:
        flat = _flat({**record, "truncated": record.get("truncated", False)})
        if not columns:
            columns.extend(flat)
            writer.writerow(columns)
        if more := [name for name in flat if name not in columns]:
            raise InputError(
                f"a row's answer has {more[0]!r}, which the first has not, nor the header; write --to jsonl"
            )
        writer.writerow([flat.get(column, "") for column in columns])

    yield write


@contextmanager
def _conll(stream: TextIO) -> Iterator[Write]:
    """A word and its tag a line, a tab between, and a blank line after each row; a row without words is a comment."""

    def write(record: Mapping[str, Any]) -> None:
        _check_has(record, "conll", "tags", "a tag for each word")
        for word, tag in zip(record["words"], record["tags"], strict=True):
            if any(character in word for character in "\t\r\n") or not word.strip():
                raise InputError(f"the word {word!r} cannot stand on a line of CoNLL; write --to jsonl")
            stream.write(f"{word}\t{tag}\n")
        stream.write("\n" if record["words"] else "# a row without words\n\n")

    yield write


@contextmanager
def _squad(stream: TextIO) -> Iterator[Write]:
    """One object of answers by the id of their question, empty for none, as SQuAD's own scripts read them."""
    seen: set[str] = set()

    def write(record: Mapping[str, Any]) -> None:
        _check_has(record, "squad", "answer", "an answer")
        if "id" not in record:
            raise InputError(
                "--to squad names answers by their questions' ids, and a question has none; --id says where"
            )
        if record["id"] in seen:
            raise InputError(f"--to squad: two questions have the id {record['id']!r}")
        stream.write(",\n " if seen else "{\n ")
        stream.write(
            f"{json.dumps(record['id'], ensure_ascii=False)}: {json.dumps(record['answer'], ensure_ascii=False)}"
        )
        seen.add(record["id"])

    yield write
    stream.write("\n}\n" if seen else "{}\n")


_WRITERS: Mapping[str, Callable[[TextIO], AbstractContextManager[Write]]] = {
    "jsonl": _jsonl,
    "csv": _csv,
    "conll": _conll,
    "squad": _squad,
}
_SUFFIXES = {".csv": "csv", ".conll": "conll"}


def writer(stream: TextIO, to: str | None, out: Path | None) -> AbstractContextManager[Write]:
    """What writes records to a stream: as `to` says, else by the suffix of `out`, else JSONL."""
    name = to or (_SUFFIXES.get(out.suffix, "jsonl") if out is not None else "jsonl")
    return _WRITERS[name](stream)


def _check_has(record: Mapping[str, Any], form: str, key: str, what: str) -> None:
    if key not in record:
        raise SettingsError(f"--to {form} writes {what}, and this model gives none; allowed: jsonl, csv")


def _flat(record: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, Mapping):
            flat.update({f"{name}[{key}]": inner for key, inner in value.items()})
        elif isinstance(value, list):
            flat[name] = json.dumps(value, ensure_ascii=False)
        else:
            flat[name] = value
    return flat

"""Lists of words, spans and answers in formats of one row a line: JSONL and Parquet keep them, CSV holds their text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bertsmith.data import open_rows
from bertsmith.errors import DataError
from token_inputs import ANSWER, TAG

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from bertsmith.records import Input

WORDS = [
    {"tokens": ["the", "dog", "👩‍👩‍👧"], "ner_tags": ["O", "B-X", "O"]},
    {"tokens": ["e\u0301te\u0301"], "ner_tags": ["O"]},
]
NUMBERED = [{"words": ["a", "b"], "tags": [0, 3]}, {"words": [], "tags": []}]
SPANS = [
    {"text": "the dog barks", "entities": [{"start": 4, "stop": 7, "label": "X"}]},
    {"text": "nothing", "entities": []},
]
ANSWERS: list[dict[str, Any]] = [
    {"id": "1", "question": "Who?", "context": "the dog", "answers": [{"text": "dog", "answer_start": 4}]},
    {"id": "2", "question": "What?", "context": "the dog", "answers": []},
]
FLAT = [{**row, "answers": {"text": ["dog"], "answer_start": [4]}, "is_impossible": False} for row in ANSWERS]

NAMES = {
    "tokens": "words",
    "ner_tags": "tags",
    "entities": "spans",
    "context": "passage",
}


@pytest.mark.parametrize(
    ("inputs", "records"), [(TAG, WORDS), (TAG, NUMBERED), (TAG, SPANS), (ANSWER, ANSWERS), (ANSWER, FLAT)]
)
@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_values_keep_their_form(
    tmp_path: Path, inputs: Sequence[Input], records: Sequence[Mapping[str, Any]], name: str
) -> None:
    path = tmp_path / name
    if name == "a.parquet":
        pq.write_table(pa.Table.from_pylist(list(records)), path)
    else:
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
    rows = list(open_rows(path, inputs))
    assert [row.values for row in rows] == [
        {NAMES.get(key, key): value for key, value in record.items()} for record in records
    ]
    assert [row.place.line for row in rows] == [1, 2]
    for row in rows:
        assert not any(type(value) not in (str, bool, list, dict) for value in row.values.values())


@pytest.mark.parametrize(
    ("name", "content"), [("a.csv", "words,tags\nthe dog,DET NOUN\n"), ("a.tsv", "words\ttags\nthe dog\tDET NOUN\n")]
)
def test_cells_are_strings(tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    assert [row.values for row in open_rows(path, TAG)] == [{"words": "the dog", "tags": "DET NOUN"}]


def test_words_or_text_and_tags_or_spans(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"words": ["a"], "text": "a", "tags": ["O"], "spans": []}\n{"text": "b", "spans": []}\n')
    assert [row.values for row in open_rows(path, TAG)] == [
        {"words": ["a"], "text": "a", "tags": ["O"], "spans": []},
        {"text": "b", "spans": []},
    ]
    path.write_text('{"words": ["a"], "tags": ["O"]}\n{"text": "b", "tags": ["O"]}\n')
    assert [sorted(row.values) for row in open_rows(path, TAG)] == [["tags", "words"], ["tags", "text"]]
    path.write_text('{"words": ["a"], "tags": ["O"]}\n{"tags": ["O"]}\n')
    with pytest.raises(DataError, match=r"a\.jsonl:2: there is no key 'words' for words; keys are 'tags'$"):
        list(open_rows(path, TAG))

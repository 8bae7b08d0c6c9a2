"""JSON Lines, against the json module, and what is said of lines that are no objects."""

from __future__ import annotations

import gzip
import json
import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.data import open_rows, text_of
from bertsmith.errors import DataError
from bertsmith.records import Input

if TYPE_CHECKING:
    from pathlib import Path

    from _pytest.tmpdir import TempPathFactory

INPUTS = [
    Input("text", ("text",)),
    Input("text_b", ("text_b",), required=False, needed_to_train=False),
    Input("label", ("label",), required=False),
]

TEXTS = st.text(st.characters(codec="utf-8"))
VALUES = st.recursive(
    st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
    max_leaves=5,
)


def error_of(tmp_path: Path, content: str) -> str:
    path = tmp_path / "a.jsonl"
    path.write_text(content)
    with pytest.raises(DataError) as caught:
        list(open_rows(path, INPUTS))
    return str(caught.value).removeprefix(str(path))


@given(st.lists(st.tuples(TEXTS, VALUES), min_size=1), st.booleans(), st.booleans())
def test_objects_are_read_as_the_json_module_writes_them(
    tmp_path_factory: TempPathFactory, rows: list[tuple[str, Any]], ascii_only: bool, compress: bool
) -> None:
    lines = [json.dumps({"label": label, "text": text}, ensure_ascii=ascii_only) for text, label in rows]
    raw = "".join(line + "\n\n" for line in lines).encode()
    path = tmp_path_factory.mktemp("jsonl") / ("a.jsonl.gz" if compress else "a.ndjson")
    path.write_bytes(gzip.compress(raw) if compress else raw)
    found = list(open_rows(path, INPUTS))
    assert [(row.values["text"], row.values["label"]) for row in found] == rows
    assert [row.place.line for row in found] == [1 + 2 * number for number in range(len(rows))]


def test_optional_keys_may_be_lacking_and_others_be_there(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a", "text_b": "b", "label": 1}\n{"label": [2], "text": "c", "more": null}')
    assert [row.values for row in open_rows(path, INPUTS)] == [
        {"text": "a", "text_b": "b", "label": 1},
        {"text": "c", "label": [2]},
    ]


def test_predicting_never_reads_labels(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a", "label": null}\n{"text": "b"}\n')
    assert [row.values for row in open_rows(path, INPUTS, training=False)] == [{"text": "a"}, {"text": "b"}]


def test_what_is_no_number_is_no_text_but_may_be_a_label(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": NaN, "label": NaN}\n{"text": "a", "label": -Infinity}\n')
    first, second = open_rows(path, INPUTS)
    assert math.isnan(first.values["label"])
    assert second.values["label"] == -math.inf
    with pytest.raises(DataError, match=r"a\.jsonl:1: text must be a string, got float nan"):
        text_of(first, "text")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"text": "a" "label": 1}', "not valid JSON at column 14: Expecting ',' delimiter"),
        ("{", "not valid JSON at column 2: Expecting property name enclosed in double quotes"),
        ('{"text": "a", "label": 1} x', "not valid JSON at column 27: Extra data"),
        ('"text"', "a JSON str, not an object"),
        ("5", "a JSON int, not an object"),
    ],
)
def test_lines_that_are_no_objects(tmp_path: Path, line: str, said: str) -> None:
    wanted = f"{said}; JSONL holds one object a line"
    assert error_of(tmp_path, f"{line}\n") == f":1: {wanted}"
    assert error_of(tmp_path, f'{{"text": "a", "label": 1}}\n\n{line}\n') == f":3: {wanted}"


@pytest.mark.parametrize("content", ['[{"text": "a"}]', '\n[\n  {"text": "a"}\n]\n'])
def test_one_array_is_not_jsonl(tmp_path: Path, content: str) -> None:
    assert error_of(tmp_path, content).endswith(
        ": a JSON array; JSONL holds one object a line: jq -c '.[]' FILE writes an array of objects so"
    )


def test_required_keys_that_are_lacking_or_null(tmp_path: Path) -> None:
    first = '{"text": "a", "text_b": "b", "label": 1}\n'
    assert error_of(tmp_path, first + '{"texts": "a", "label": 1}') == (
        ":2: there is no key 'text' for text; keys are 'texts', 'label'; did you mean 'texts'?"
    )
    assert error_of(tmp_path, first + '{"text": null, "label": 1}') == (":2: 'text' is null, and text needs a value")
    assert error_of(tmp_path, first + '{"text": "a", "text_b": null, "label": 1}') == (
        ":2: 'text_b' is null, and text_b needs a value"
    )
    path = tmp_path / "qa.jsonl"
    path.write_text('{"question": "Who?", "answers": null}\n', encoding="utf-8")
    inputs = [Input("question", names=(), help=""), Input("answers", names=(), required=False, help="")]
    with pytest.raises(DataError, match=r"'answers' is null, .*; \[\], an empty list, says that there is no answer$"):
        list(open_rows(path, inputs))
    assert error_of(tmp_path, '{"tekst": "a", "label": 1}') == (
        ":1: there is no column for text (looked for 'text'); columns are 1 'tekst', 2 'label'"
        "; name it: --text NAME; did you mean 'tekst'?"
    )


def test_keys_that_are_there_twice(tmp_path: Path) -> None:
    assert error_of(tmp_path, '{"text": "a", "label": 1, "text": "b"}') == (
        ":1: the key 'text' is there twice in one object"
    )


def test_halves_of_surrogate_pairs(tmp_path: Path) -> None:
    assert error_of(tmp_path, '{"text": "\\ud83d\\ude00", "label": 1}\n{"text": "\\ud83d", "label": 1}') == (
        ":2: \\ud83d is half of a surrogate pair, and not a character; write both halves, or UTF-8"
    )


def test_json_that_python_refuses(tmp_path: Path) -> None:
    for value in ("9" * 5000, "[" * 100_000 + "]" * 100_000):
        assert error_of(tmp_path, f'{{"text": "a", "label": {value}}}').startswith(":1: not usable JSON: ")


def test_no_objects_are_no_rows(tmp_path: Path) -> None:
    assert error_of(tmp_path, "\n \n") == ": holds no rows"


def test_a_key_that_the_first_object_lacks(tmp_path: Path) -> None:
    """An optional input is found, and read, wherever it first stands."""
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"text": "a"}\n{"text": "b", "text_b": "c"}\n', encoding="utf-8")
    inputs = (Input("text", names=("text",)), Input("text_b", names=("text_b",), required=False, needed_to_train=False))
    assert [row.values for row in open_rows(path, inputs)] == [{"text": "a"}, {"text": "b", "text_b": "c"}]

"""Parquet, as pyarrow writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bertsmith.data import open_rows, text_of
from bertsmith.errors import DataError
from bertsmith.records import Input, Place

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

INPUTS = [Input("text", ("text",)), Input("label", ("label",), required=False)]


def written(tmp_path: Path, columns: Mapping[str, Any], **options: int) -> Path:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table(columns), path, **options)
    return path


def error_of(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        list(open_rows(path, INPUTS))
    return str(caught.value).removeprefix(str(path))


@pytest.mark.parametrize(
    "labels",
    [
        [1, 2, 3],
        [0.5, 1.0, -1.0],
        [True, False, True],
        [["a"], [], ["b", "c"]],
        [{"x": 1}, {"x": 2}, {"x": 3}],
    ],
)
def test_values_keep_their_types(tmp_path: Path, labels: list[Any]) -> None:
    path = written(tmp_path, {"label": labels, "n": [7, 8, 9], "text": ["a", "", "naïve \u2028 \0"]})
    rows = list(open_rows(path, INPUTS))
    assert [row.values["label"] for row in rows] == labels
    assert [type(row.values["label"]) for row in rows] == [type(label) for label in labels]
    assert [text_of(row, "text") for row in rows] == ["a", "", "naïve \u2028 \0"]
    assert [row.place for row in rows] == [Place(str(path), number) for number in (1, 2, 3)]


def test_categories_are_read_as_their_names(tmp_path: Path) -> None:
    labels = pa.array(["neg", "pos", "neg"]).dictionary_encode()
    path = written(tmp_path, {"text": ["a", "b", "c"], "label": labels})
    assert [row.values["label"] for row in open_rows(path, INPUTS)] == ["neg", "pos", "neg"]


def test_many_row_groups_and_batches_are_read_in_order(tmp_path: Path) -> None:
    numbers = list(range(5000))
    path = written(tmp_path, {"text": [str(number) for number in numbers], "label": numbers}, row_group_size=700)
    rows = open_rows(path, INPUTS)
    for _ in range(2):
        assert [(row.values["text"], row.values["label"], row.place.line) for row in rows] == [
            (str(number), number, number + 1) for number in numbers
        ]
    assert next(iter(rows)).values == {"text": "0", "label": 0}
    assert rows.describe() == f"{path}: Parquet; text = 'text' (guessed), label = 'label' (guessed)"


def test_predicting_never_reads_labels(tmp_path: Path) -> None:
    path = written(tmp_path, {"text": ["a"], "label": [None]})
    assert [row.values for row in open_rows(path, INPUTS, training=False)] == [{"text": "a"}]


def test_nulls_in_chosen_columns(tmp_path: Path) -> None:
    path = written(tmp_path, {"text": ["a", None], "label": [1, 2], "other": [None, None]})
    assert error_of(path) == ":2: 'text' is null, and text needs a value"
    path = written(tmp_path, {"text": ["a", "b", "c"], "label": [1, 2, None]})
    assert error_of(path) == ":3: 'label' is null, and label needs a value"


def test_texts_that_are_numbers(tmp_path: Path) -> None:
    (row,) = open_rows(written(tmp_path, {"text": [5], "label": [1]}), INPUTS)
    with pytest.raises(DataError, match=r"a\.parquet:1: text must be a string, got int 5"):
        text_of(row, "text")


def test_missing_columns(tmp_path: Path) -> None:
    assert error_of(written(tmp_path, {"txt": ["a"], "label": [1]})) == (
        ": there is no column for text (looked for 'text'); columns are 1 'txt', 2 'label'"
        "; name it: --text NAME; did you mean 'txt'?"
    )


def test_files_that_are_damaged_or_empty(tmp_path: Path) -> None:
    path = written(tmp_path, {"text": ["some text"] * 100, "label": list(range(100))})
    whole = path.read_bytes()
    for content in (b"", b"text\n", whole[: len(whole) // 2]):
        path.write_bytes(content)
        assert error_of(path).startswith(": not a whole Parquet file: ")
    path.write_bytes(whole[:10] + bytes(40) + whole[50:])
    assert error_of(path).startswith(": not a whole Parquet file: ")
    assert error_of(written(tmp_path, {"text": [], "label": []})) == ": holds no rows"

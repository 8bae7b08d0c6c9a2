"""Rows as examples, of which only the first stay in memory: they read alike wherever they lie."""

from __future__ import annotations

import tempfile
import tracemalloc
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from bertsmith.errors import DataError, InputError
from bertsmith.records import Place, Row
from bertsmith.spool import MOST_IN_MEMORY, Some, Spool
from bertsmith.tasks import task_class

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS = [
    Row({"text": 'a fine film — 🎬 \u2028 "quoted"\n', "label": "good"}, Place("train.csv", 2)),
    Row({"text": "", "label": 3}, Place("train.csv", 3)),
    Row({"text": "none", "label": 2.5}, Place("train.jsonl", 4, "data[0].text")),
    Row({"text": "last", "label": True}, Place("<stdin>")),
]


@pytest.mark.parametrize("most_in_memory", [0, 400, MOST_IN_MEMORY])
def test_rows_read_alike_wherever_they_lie(most_in_memory: int) -> None:
    spool = Spool(iter(ROWS), _itself, most_in_memory=most_in_memory)
    assert len(spool) == len(ROWS)
    assert list(spool) == ROWS
    assert [spool[row] for row in (3, 0, 2, 1, -1)] == [ROWS[row] for row in (3, 0, 2, 1, -1)]
    assert spool[1:3] == ROWS[1:3]
    with pytest.raises(IndexError):
        spool[4]


@pytest.mark.parametrize(
    ("task", "values"),
    [
        ("classify", {"text": "a", "text_b": "b", "label": "yes"}),
        ("regress", {"text": "a", "label": "2.5"}),
        ("regress", {"text": "a", "label": Decimal("2.50")}),  # of a column of Parquet
        ("tag", {"words": ["Ada", "Lovelace"], "tags": ["B-PER", "I-PER"]}),
        ("tag", {"text": "Ada 🎉 wrote", "spans": [[0, 3, "PER"]]}),
        ("answer", {"question": "who?", "passage": "Ada 🎉", "answers": [{"text": "Ada", "answer_start": 0}]}),
        ("answer", {"question": "who?", "passage": "Ada", "answers": []}),
        ("mlm", {"text": "Ada wrote"}),
        ("nsp", {"text": "a", "text_b": "b", "is_next": 1}),
    ],
)
def test_examples_of_every_task_are_the_same_from_disk(task: str, values: dict[str, Any]) -> None:
    read = task_class(task)().read
    rows = [Row(values, Place("a", number), lines=(number, number + 1)) for number in range(3)]
    kept, spooled = Spool(rows, read), Spool(rows, read, most_in_memory=0)
    assert [repr(each) for each in spooled] == [repr(each) for each in kept]


def test_what_is_wrong_with_a_row_is_found_when_it_is_read_first() -> None:
    rows = [*ROWS[:2], Row({"text": None, "label": "good"}, Place("train.csv", 4))]
    with pytest.raises(DataError, match=r"train\.csv:4: there is no text"):
        Spool(rows, task_class("classify")().read, most_in_memory=0)


def test_a_full_disk_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def write(self, _: bytes) -> None:
            raise OSError(28, "No space left on device")

        def close(self) -> None:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", Full)
    with pytest.raises(InputError, match="No space left on device; TMPDIR names another folder"):
        Spool(ROWS, _itself, most_in_memory=0)


def test_a_file_that_cannot_be_read_is_not_said_to_be_a_full_disk() -> None:
    def rows() -> Iterator[Row]:
        yield from ROWS
        raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output error"):
        Spool(rows(), _itself, most_in_memory=0)


def test_a_value_that_rows_share_counts_once() -> None:
    passage = "a passage " * 1000
    rows = [Row({"passage": passage, "question": str(number)}, Place("a", number)) for number in range(20)]
    spool = Spool(rows, _itself, most_in_memory=30_000)
    assert spool[19].values["passage"] is passage


def test_memory_does_not_grow_with_the_rows() -> None:
    def rows(count: int) -> Iterator[Row]:
        for number in range(count):
            yield Row({"text": f"text {number} " * 20}, Place("train.csv", number))

    taken = []
    for count in (2_000, 8_000):
        tracemalloc.start()
        spool = Spool(rows(count), _itself, most_in_memory=500_000)
        taken.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
        assert spool[count - 1].values["text"].startswith(f"text {count - 1} ")
    assert taken[1] - taken[0] < 6_000 * 10  # where each begins, 8 bytes


def test_some_of_many() -> None:
    some = Some("abcdef", np.array([4, 1, 1]))
    assert list(some) == ["e", "b", "b"]
    assert some[1:] == ["b", "b"]
    assert some[-1] == "b"
    assert len(some) == 3


def _itself(row: Row) -> Row:
    return row

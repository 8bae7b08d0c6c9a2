"""Tables whose rows may lack a value: such a row comes without it, where the readers of rows with labels raise."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bertsmith.data.jsonl import JsonLines
from bertsmith.data.parquet import _ROWS_A_BATCH, Parquet, _opened
from bertsmith.records import Row

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bertsmith.data.columns import Choice
    from bertsmith.data.table import Table


def with_nulls(table: Table) -> Table:
    """The table, with a row for a null, or for a key that is not there; CSV and TSV have neither."""
    match table:
        case JsonLines():
            return _JsonLines(table.source, table.columns)
        case Parquet():
            return _Parquet(table.source, table.columns)
    return table


class _JsonLines(JsonLines):
    def _values(self, choices: Sequence[Choice], record: dict[str, Any], line: int, text: str) -> dict[str, Any]:
        optional = [replace(choice, required=False) for choice in choices]
        there = {key: value for key, value in record.items() if value is not None}
        return super()._values(optional, there, line, text)


class _Parquet(Parquet):
    def rows(self, choices: Sequence[Choice]) -> Iterator[Row]:
        names = [choice.column for choice in choices]
        number = 0
        with _opened(self.source) as file:
            for batch in file.iter_batches(batch_size=_ROWS_A_BATCH, columns=names):
                for values in zip(*(batch.column(name).to_pylist() for name in names), strict=True):
                    number += 1
                    there = {
                        choice.input: value for choice, value in zip(choices, values, strict=True) if value is not None
                    }
                    yield Row(there, self.source.place(number))

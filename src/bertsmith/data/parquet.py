"""Parquet, read by batches of rows and by the chosen columns only. Values come as Python's own types."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bertsmith.data.columns import Columns, is_null
from bertsmith.data.table import no_rows
from bertsmith.errors import DataError
from bertsmith.records import Row

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bertsmith.data.columns import Choice
    from bertsmith.data.source import Source
    from bertsmith.data.table import ReadOptions, Wanted

_ROWS_A_BATCH = 1024


@dataclass(frozen=True, slots=True)
class Parquet:
    """A Parquet file. As it has no lines, a row's place is its number, from 1."""

    source: Source
    columns: Columns

    @property
    def note(self) -> str:
        return "Parquet"

    def rows(self, choices: Sequence[Choice]) -> Iterator[Row]:
        names = [choice.column for choice in choices]
        number = 0
        with _opened(self.source) as file:
            for batch in file.iter_batches(batch_size=_ROWS_A_BATCH, columns=names):
                columns = [batch.column(name).to_pylist() for name in names]
                for values in zip(*columns, strict=True):
                    number += 1
                    place = self.source.place(number)
                    for choice, value in zip(choices, values, strict=True):
                        if value is None and not choice.nullable:
                            raise DataError(is_null(choice), place=place)
                    found = zip(choices, values, strict=True)
                    yield Row({choice.input: value for choice, value in found if value is not None}, place)


def open_parquet(source: Source, *, options: ReadOptions, wanted: Wanted) -> Parquet:  # noqa: ARG001
    """Opens a Parquet file. Options of delimited files do not concern it."""
    if source.once:
        raise DataError("Parquet cannot be read from a pipe; save it to a file", place=source.place())
    with _opened(source) as file:
        if file.metadata.num_rows == 0:
            raise no_rows(source)
        cells = tuple(file.schema_arrow.names)
    return Parquet(source, Columns(cells=cells, named=True, place=source.place()))


@contextlib.contextmanager
def _opened(source: Source) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(source.path) as file:
            yield file
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"not a whole Parquet file: {error}", place=source.place()) from error

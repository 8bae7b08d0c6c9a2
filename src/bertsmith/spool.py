"""The rows of a file as examples, in memory that does not grow with the file."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import weakref
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import IO, TYPE_CHECKING, Any

from bertsmith.errors import InputError
from bertsmith.records import Place, Row

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Of the first rows, kept as they are: 67,000 of SST-2 take some 25 MB.
MOST_IN_MEMORY = 1 << 26
_A_ROW, _AN_ITEM = 300, 60  # bytes of objects around a row's characters, and around each item of its lists
_BLOCK = 1 << 20


class Spool(Sequence[Any]):
    """The examples of rows that are read once. The first are kept; the others are written to a temporary file, which
    goes with this process, and read again when they are asked for.

    The file lies where temporary files do; TMPDIR names another folder.
    Raises InputError where that is full.
    """

    def __init__(
        self, rows: Iterable[Row], read: Callable[[Row], Any], *, most_in_memory: int = MOST_IN_MEMORY
    ) -> None:
        """read: a task's. most_in_memory: bytes, about."""
        self._read, self._kept = read, list[Any]()
        self._stops = array("q")  # of the rows in the file
        held, rest, before = 0, iter(rows), Row({}, Place(""))
        for row in rest:
            self._kept.append(read(row))
            held += _size(row, before)
            before = row
            if held >= most_in_memory:
                self._write(rest)

    def _write(self, rows: Iterator[Row]) -> None:
        with _said_if_full():
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed when this object goes
        weakref.finalize(self, _close, self._file)
        stop = 0
        for row in rows:
            self._read(row)  # raises for what is wrong with it
            place = row.place
            record = [dict(row.values), place.source, place.line, place.path, row.lines]
            line = json.dumps(record, default=_plain).encode()
            with _said_if_full():
                self._file.write(line)
            stop += len(line)
            self._stops.append(stop)
        with _said_if_full():
            self._file.flush()

    def __len__(self) -> int:
        return len(self._kept) + len(self._stops)

    def __getitem__(self, row: Any) -> Any:
        """An example; of a slice, a list of them."""
        if isinstance(row, slice):
            return [self[each] for each in range(len(self))[row]]
        number = range(len(self))[row] - len(self._kept)
        return self._kept[number] if number < 0 else next(self._from_file(number, number + 1))

    def __iter__(self) -> Iterator[Any]:
        yield from self._kept
        first = 0
        while first < len(self._stops):
            after = first + 1
            while after < len(self._stops) and self._stops[after] - self._start(first) <= _BLOCK:
                after += 1
            yield from self._from_file(first, after)
            first = after

    def _start(self, number: int) -> int:
        return self._stops[number - 1] if number else 0

    def _from_file(self, first: int, after: int) -> Iterator[Any]:
        begin = self._start(first)
        block = os.pread(self._file.fileno(), self._stops[after - 1] - begin, begin)
        for number in range(first, after):
            values, source, line, path, lines = json.loads(
                block[self._start(number) - begin : self._stops[number] - begin]
            )
            yield self._read(Row(values, Place(source, line, path), tuple(lines)))


@dataclass(frozen=True, slots=True)
class Some(Sequence[Any]):
    """Some of many examples, in the order of `rows`, int64 [rows]."""

    of: Sequence[Any]
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: Any) -> Any:
        if isinstance(row, slice):
            return [self.of[each] for each in self.rows[row].tolist()]
        return self.of[int(self.rows[row])]


@contextlib.contextmanager
def _said_if_full() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        folder = tempfile.gettempdir()
        message = f"{folder}: cannot hold the rows that are read: {error.strerror}; TMPDIR names another folder"
        raise InputError(message) from error


def _close(file: IO[bytes]) -> None:
    with contextlib.suppress(OSError):  # what could not be written before, as the disk is full
        file.close()


def _plain(value: Any) -> str:
    """What JSON does not have, but a column of Parquet may, and tasks read."""
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"{value!r} is of no type that tasks read")


def _size(row: Row, before: Row) -> int:
    """About how many bytes a row takes beside the one before, with which it may share values (a passage)."""
    new = (value for name, value in row.values.items() if value is not before.values.get(name))
    return _A_ROW + sum(map(_size_of, new))


def _size_of(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return sum(_AN_ITEM + _size_of(item) for item in items)

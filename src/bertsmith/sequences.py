"""The sequences of many examples in a few arrays: 4 bytes a piece, instead of the some 700 that the objects of a short
text take; `Encoded` are made of them when they are asked for.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from bertsmith.records import Encoded

if TYPE_CHECKING:
    from numpy.typing import NDArray

_AT_ONCE = 1024  # examples


class Sequences(Sequence[Sequence[Encoded]]):
    """The sequences of each example, read like a list of lists.

    Beside its pieces, a sequence takes 8 bytes, 4 for each of its numbers (where segment 1 and the body end, counted
    from the sequence's end; what was cut …) that is not the same for all of them, and its further arrays with 8 each.
    """

    _numbers: ClassVar = ("cut", "offset", "windows", "weight")
    _arrays: ClassVar = {"spans": (2,), "anchors": (2,), "chosen": (), "truth": ()}  # by the shape of an item

    def __init__(self, encoded: Iterable[Sequence[Encoded]] = ()) -> None:
        """encoded: of every example; a thousand of them are held at a time, if they are made as they are read.

        An array that `Encoded` may lack is there for all sequences or for none.
        """
        self._ids = _Arrays(())
        self._columns = {name: _Column() for name in ("second", "first", "after", *self._numbers)}
        self._columns["weight"] = _Column("d")
        self._given = {name: _Arrays(shape) for name, shape in self._arrays.items()}
        self._stops = _Column()  # of examples, less their number: nothing where each has one sequence
        self._rows, rest = 0, iter(encoded)
        while some := list(islice(rest, _AT_ONCE)):
            self._add(some)
        for arrays in (self._ids, *self._given.values()):
            arrays.seal()

    def _add(self, rows: Sequence[Sequence[Encoded]]) -> None:
        stop_R = len(self._ids) + np.cumsum([len(row) for row in rows])
        sequences = [sequence for row in rows for sequence in row]
        self._stops.add((stop_R - np.arange(self._rows + 1, self._rows + 1 + len(rows))).tolist())
        self._rows += len(rows)
        lengths = [len(sequence.ids) for sequence in sequences]
        columns = {name: [getattr(sequence, name) for sequence in sequences] for name in ("second", *self._numbers)}
        columns["second"] = [length - second for length, second in zip(lengths, columns["second"], strict=True)]
        columns["first"] = [sequence.body[0] for sequence in sequences]
        columns["after"] = [length - sequence.body[1] for length, sequence in zip(lengths, sequences, strict=True)]
        for name, column in self._columns.items():
            column.add(columns[name])
        self._ids.add([sequence.ids for sequence in sequences])
        for name, arrays in self._given.items():
            arrays.add([values for sequence in sequences if (values := getattr(sequence, name)) is not None])
            assert len(arrays) in (0, len(self._ids)), f"{name}: all have it, or none"

    @classmethod
    def of(cls, encoded: Iterable[Sequence[Encoded]]) -> Sequences:
        """These; what is kept so already stays as it is."""
        return encoded if isinstance(encoded, cls) else cls(encoded)

    def __len__(self) -> int:
        return self._rows

    def __getitem__(self, row: Any) -> Any:
        """The sequences of one example, whose number is their `owner`; of a slice, a list of them."""
        if isinstance(row, slice):
            return [self[each] for each in range(self._rows)[row]]
        row = range(self._rows)[row]
        start = self._stops[row - 1] + row if row else 0
        return [self._sequence(number, row) for number in range(start, self._stops[row] + row + 1)]

    def _sequence(self, number: int, owner: int) -> Encoded:
        ids, of = self._ids[number], self._columns
        given = {name: arrays[number] for name, arrays in self._given.items() if len(arrays)}
        return Encoded(
            ids=ids,
            second=len(ids) - of["second"][number],
            owner=owner,
            cut=of["cut"][number],
            body=(of["first"][number], len(ids) - of["after"][number]),
            offset=of["offset"][number],
            windows=of["windows"][number],
            spans=given.get("spans"),
            anchors=given.get("anchors"),
            chosen=given.get("chosen"),
            truth=given.get("truth"),
            weight=of["weight"][number],
        )

    @property
    def tokens(self) -> int:
        """How many there are, in all sequences."""
        return len(self.ids)

    @property
    def ids(self) -> NDArray[np.int32]:
        """Of all sequences, one after another, int32 [tokens]."""
        return self._ids.numbers

    def counts(self) -> NDArray[np.int64]:
        """How many sequences each example has, int64 [examples]."""
        stop_R = self._stops.expanded(self._rows) + np.arange(1, self._rows + 1)
        return np.diff(stop_R, prepend=0)

    def tokens_of(self) -> NDArray[np.int64]:
        """How many tokens the sequences of each example have, int64 [examples]."""
        before_S = np.append(0, np.cumsum(self._ids.lengths()))
        stop_R = np.cumsum(self.counts())
        return np.diff(before_S[stop_R], prepend=0)

    def cut_of(self) -> NDArray[np.int64]:
        """How many pieces of each example none of its sequences holds, int64 [examples]: every window of a text has the
        same count."""
        cut_R, count_R = np.zeros(self._rows, dtype=np.int64), self.counts()
        has_any = count_R > 0
        cut_S = self._columns["cut"].expanded(len(self._ids))
        cut_R[has_any] = cut_S[np.cumsum(count_R)[has_any] - 1]
        return cut_R


class _Column:
    """Numbers of a type of `array`, or a single one as long as all are the same."""

    def __init__(self, code: str = "i") -> None:
        self._code = code
        self._same, self._count = 0, 0
        self._values: array[Any] | None = None

    def add(self, numbers: Sequence[Any]) -> None:
        if self._values is None and numbers:
            self._same = self._same if self._count else numbers[0]
            if set(numbers) == {self._same}:
                self._count += len(numbers)
            else:
                self._values = array(self._code, [self._same]) * self._count
        if self._values is not None:
            self._values.extend(numbers)

    def __getitem__(self, index: int) -> Any:
        return self._same if self._values is None else self._values[index]

    def expanded(self, count: int) -> NDArray[np.int64]:
        """All of them, which are whole, int64 [count]."""
        if self._values is None:
            return np.full(count, self._same, dtype=np.int64)
        return np.array(self._values, dtype=np.int64)


class _Arrays:
    """Arrays of int32, one after another. shape: of an item. numbers: of all, once it is sealed."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shape, self._size = shape, int(np.prod(shape, dtype=int))
        self._numbers, self._stops = array("i"), array("q")

    def add(self, arrays: Sequence[NDArray[np.int32]]) -> None:
        if arrays:
            together = np.concatenate(arrays)
            assert together.dtype == np.int32, together.dtype
            assert together.shape[1:] == self._shape, together.shape
            before = len(self._numbers) // self._size
            self._numbers.frombytes(together.tobytes())
            self._stops.extend((before + np.cumsum([len(each) for each in arrays])).tolist())

    def __len__(self) -> int:
        return len(self._stops)

    def seal(self) -> None:
        """No more are added, and none can be changed."""
        self.numbers: NDArray[np.int32] = np.frombuffer(self._numbers, dtype=np.int32).reshape(-1, *self._shape)
        self.numbers.flags.writeable = False

    def __getitem__(self, index: int) -> NDArray[np.int32]:
        return self.numbers[self._stops[index - 1] if index else 0 : self._stops[index]]

    def lengths(self) -> NDArray[np.int64]:
        """Of every array, int64 [arrays]."""
        stops = np.frombuffer(self._stops, dtype=np.int64)
        return np.asarray(np.ediff1d(stops, to_begin=stops[:1]), dtype=np.int64)

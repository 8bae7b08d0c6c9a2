"""The store of sequences gives back what was put in, and takes no more than it says."""

from __future__ import annotations

import tracemalloc
from dataclasses import fields, replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertsmith.records import Encoded
from bertsmith.sequences import Sequences

if TYPE_CHECKING:
    from collections.abc import Iterator

ARRAYS = {"spans": (2,), "anchors": (2,), "chosen": (), "truth": ()}


@st.composite
def rows_of_sequences(draw: st.DrawFn) -> list[list[Encoded]]:
    """Some rows of some sequences each, whose fields are as odd as they may be."""
    given_arrays = draw(st.sets(st.sampled_from(sorted(ARRAYS))))
    small = st.integers(0, 5)
    rows = []
    for owner in range(draw(st.integers(0, 5))):
        sequences = []
        for _ in range(draw(st.integers(0, 3))):
            length = draw(st.integers(1, 6))
            arrays = {
                name: np.array(
                    draw(st.lists(st.integers(-1, 40_000), min_size=2 * length, max_size=2 * length)), dtype=np.int32
                ).reshape(-1, *ARRAYS[name])
                for name in sorted(given_arrays)
            }
            sequences.append(
                Encoded(
                    ids=np.array(draw(st.lists(st.integers(0, 250_000), min_size=length, max_size=length)), np.int32),
                    second=draw(st.integers(0, length)),
                    owner=owner,
                    cut=draw(small),
                    body=(draw(st.integers(0, length)), length),
                    offset=draw(small),
                    windows=draw(small),
                    weight=draw(st.sampled_from([1.0, 0.5, 11.25])),
                    **arrays,
                )
            )
        rows.append(sequences)
    return rows


def same(one: Encoded, other: Encoded) -> bool:
    """Whether all fields are equal."""
    pairs = [(getattr(one, field.name), getattr(other, field.name)) for field in fields(Encoded)]
    return all(np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b for a, b in pairs)


@given(rows_of_sequences())
@settings(max_examples=200, deadline=None)
def test_gives_back_what_was_put_in(rows: list[list[Encoded]]) -> None:
    stored = Sequences(iter(rows))
    assert len(stored) == len(rows)
    for row, sequences in enumerate(rows):
        assert len(stored[row]) == len(sequences)
        assert all(map(same, stored[row], sequences))
    assert stored.tokens == sum(len(each) for sequences in rows for each in sequences)
    assert stored.counts().tolist() == [len(sequences) for sequences in rows]
    assert stored.tokens_of().tolist() == [sum(map(len, sequences)) for sequences in rows]
    assert stored.cut_of().tolist() == [sequences[-1].cut if sequences else 0 for sequences in rows]


def test_owner_is_the_row_whatever_it_was() -> None:
    sequence = Encoded(np.array([1, 2], np.int32), second=2, owner=77)
    stored = Sequences([[], [sequence, sequence]])
    assert [each.owner for each in stored[1]] == [1, 1]
    assert stored[-1][0].owner == 1
    with pytest.raises(IndexError):
        stored[2]


def test_slices_and_the_same_again() -> None:
    rows = [[Encoded(np.array([number], np.int32), second=1, owner=number)] for number in range(5)]
    stored = Sequences(rows)
    assert [row[0].ids.tolist() for row in stored[1:3]] == [[1], [2]]
    assert Sequences.of(stored) is stored


def test_no_sequence_of_the_store_can_be_changed() -> None:
    stored = Sequences([[Encoded(np.array([1, 2], np.int32), second=2, owner=0)]])
    with pytest.raises(ValueError, match="read-only"):
        stored[0][0].ids[0] = 5


def test_an_array_is_there_for_all_or_for_none() -> None:
    plain = Encoded(np.array([1, 2], np.int32), second=2, owner=0)
    with pytest.raises(AssertionError, match="all have it, or none"):
        Sequences([[plain], [replace(plain, chosen=np.array([1], np.int32))]])


def test_takes_4_bytes_a_piece_and_8_a_sequence() -> None:
    rows, length = 20_000, 12

    def made() -> Iterator[list[Encoded]]:
        for owner in range(rows):
            yield [Encoded(np.full(length, owner, np.int32), second=length, owner=owner, body=(1, length - 1))]

    tracemalloc.start()
    stored = Sequences(made())
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(stored) == rows
    assert taken < 1.2 * (4 * rows * length + 8 * rows)  # arrays grow ahead by an eighth

"""Packed tokens: every token in exactly one block, padding where the layout says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.nn.layout import Layout

LENGTHS = st.lists(st.integers(1, 200), min_size=1, max_size=40)


@given(LENGTHS)
def test_first_tokens_and_positions(lengths: list[int]) -> None:
    layout = Layout.of(lengths)
    assert layout.lengths == tuple(lengths)
    assert layout.tokens == sum(lengths)
    positions = [position for length in lengths for position in range(length)]
    assert layout.position_T.tolist() == positions
    assert [positions[first] for first in layout.first_S.tolist()] == [0] * len(lengths)
    assert sorted(set(layout.first_S.tolist())) == layout.first_S.tolist()


@given(LENGTHS)
def test_blocks_part_tokens_and_sequences(lengths: list[int]) -> None:
    layout = Layout.of(lengths)
    token, sequence = 0, 0
    for block in layout.blocks:
        assert (block.tokens.start, block.sequences.start) == (token, sequence)
        inside = lengths[block.sequences]
        assert block.count == len(inside) > 0
        assert block.longest == max(inside)
        assert block.tokens.stop - block.tokens.start == sum(inside)
        token, sequence = block.tokens.stop, block.sequences.stop
    assert (token, sequence) == (sum(lengths), len(lengths))


@given(LENGTHS)
def test_padded_places_hold_each_sequence_in_a_row_of_its_own(lengths: list[int]) -> None:
    layout = Layout.of(lengths)
    for block in layout.blocks:
        inside = lengths[block.sequences]
        padded = np.full(block.count * block.longest, -1)
        tokens = np.arange(block.tokens.start, block.tokens.stop)
        if block.padded_T is None:
            assert block.bias_S1L is None
            assert set(inside) == {block.longest}
            padded[:] = tokens
        else:
            padded[block.padded_T.numpy()] = tokens
        rows = padded.reshape(block.count, block.longest)
        firsts = layout.first_S[block.sequences].tolist()
        for row, first, length in zip(rows, firsts, inside, strict=True):
            assert row.tolist() == list(range(first, first + length)) + [-1] * (block.longest - length)
        if block.bias_S1L is not None:
            assert block.bias_S1L.shape == (block.count, 1, block.longest)
            assert torch.equal(block.bias_S1L[:, 0] == 0, torch.from_numpy(rows >= 0))
            assert bool((block.bias_S1L[:, 0][torch.from_numpy(rows < 0)] == torch.finfo(torch.float32).min).all())


@given(LENGTHS)
def test_blocks_hold_sequences_of_similar_length(lengths: list[int]) -> None:
    for block in Layout.of(lengths).blocks:
        inside = lengths[block.sequences]
        # eight tokens of padding are always allowed
        assert min(inside) >= (1 - Layout.MOST_PADDING) * max(inside) - 8


@given(LENGTHS)
def test_sorted_sequences_waste_little(lengths: list[int]) -> None:
    layout = Layout.of(sorted(lengths, reverse=True))
    places = sum(block.count * block.longest for block in layout.blocks)
    assert places * (1 - Layout.MOST_PADDING) <= layout.tokens + 8 * len(lengths)


def test_equal_lengths_need_no_padding() -> None:
    (block,) = Layout.of([7, 7, 7]).blocks
    assert block.padded_T is None
    assert block.count == 3


@pytest.mark.parametrize("lengths", [[], [3, 0], [-1]])
def test_an_empty_sequence_is_a_mistake_of_ours(lengths: list[int]) -> None:
    with pytest.raises(AssertionError, match="every sequence needs a token"):
        Layout.of(lengths)

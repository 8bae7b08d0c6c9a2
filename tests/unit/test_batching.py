"""Batches: orders that are pure functions of seeds, parts and groups that lose nothing, packing that keeps all."""

from __future__ import annotations

from itertools import product

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.batching import by_budget, collate, grouped, mixed_seed, order, parts_of, shuffled
from bertsmith.records import Encoded

LENGTHS = st.lists(st.integers(1, 100), max_size=60)
SEEDS = st.integers(0, 2**70)


@given(LENGTHS, st.integers(1, 300), st.integers(1, 10))
def test_groups_hold_every_sequence_once_within_the_budget(lengths: list[int], tokens: int, rows: int) -> None:
    groups = list(by_budget(lengths, most_tokens=tokens, most_rows=rows))
    assert sorted(index for group in groups for index in group) == list(range(len(lengths)))
    ordered = [lengths[index] for group in groups for index in group]
    assert ordered == sorted(ordered, reverse=True)
    for group in groups:
        assert 0 < len(group) <= rows
        assert len(group) == 1 or max(lengths[index] for index in group) * len(group) <= tokens


@given(LENGTHS, SEEDS, st.integers(1, 9), st.integers(1, 5))
def test_grouped_rows_stay_in_their_window_and_batches_hold_like_lengths(
    lengths: list[int], seed: int, batch_size: int, window: int
) -> None:
    drawn = order(len(lengths), seed=seed, epoch=0)
    found = grouped(drawn, torch.tensor(lengths), batch_size=batch_size, window=window).tolist()
    rows = drawn.tolist()
    for start in range(0, len(rows), batch_size * window):
        inside = found[start : start + batch_size * window]
        assert sorted(inside) == sorted(rows[start : start + batch_size * window])
        batches = [inside[at : at + batch_size] for at in range(0, len(inside), batch_size)]
        assert [len(batch) for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)
        # some order of the batches has all lengths ascending
        ascending = sorted(batches, key=lambda batch: (lengths[batch[0]], lengths[batch[-1]], len(batch)))
        of_window = [lengths[row] for batch in ascending for row in batch]
        assert of_window == sorted(of_window)


@given(st.integers(0, 200), SEEDS, st.integers(-1, 50))
def test_an_order_is_a_permutation_and_always_the_same(count: int, seed: int, epoch: int) -> None:
    state = torch.get_rng_state()
    order = shuffled(count, seed=seed, epoch=epoch)
    assert sorted(order) == list(range(count))
    assert shuffled(count, seed=seed, epoch=epoch) == order
    assert torch.equal(torch.get_rng_state(), state)


def test_orders_of_neighbouring_seeds_and_epochs_differ() -> None:
    orders = {tuple(shuffled(50, seed=seed, epoch=epoch)) for seed, epoch in product(range(10), range(-1, 10))}
    assert len(orders) == 10 * 11


@given(st.lists(st.integers(0, 99), max_size=40), st.integers(1, 50))
def test_parts_hold_every_row_once_and_are_of_like_size(rows: list[int], parts: int) -> None:
    found = list(parts_of(rows, parts=parts))
    assert [row for part in found for row in part] == rows
    assert len(found) == min(parts, len(rows))
    if found:
        assert max(map(len, found)) - min(map(len, found)) <= 1


@given(st.lists(st.lists(st.integers(-1, 2**70), max_size=3).map(tuple), unique=True, max_size=20))
def test_other_numbers_give_another_seed(parts: list[tuple[int, ...]]) -> None:
    seeds = [mixed_seed("order", *numbers) for numbers in parts]
    assert len(set(seeds)) == len(parts)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_head_order_and_dropout_share_no_random_numbers() -> None:
    assert len({mixed_seed("head", 1), mixed_seed("order", 1, 0), mixed_seed("dropout", 1, 0)}) == 3


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(0, 20), st.integers(0, 5)), min_size=1, max_size=12))
def test_collate_packs_all_and_names_each_example_once(shapes: list[tuple[int, int, int]]) -> None:
    sequences = [
        Encoded(
            ids=np.arange(index * 100, index * 100 + length, dtype=np.int32), second=min(second, length), owner=owner
        )
        for index, (length, second, owner) in enumerate(shapes)
    ]
    examples = [f"example {owner}" for owner in range(6)]
    batch = collate(sequences, examples)

    assert sorted(batch.layout.lengths, reverse=True) == list(batch.layout.lengths)
    assert sorted(map(id, batch.encoded)) == sorted(map(id, sequences))
    assert len(set(batch.examples)) == len(batch.examples) == len({owner for _, _, owner in shapes})
    for first, row, sequence in zip(batch.layout.first_S.tolist(), batch.row_S.tolist(), batch.encoded, strict=True):
        tokens = slice(first, first + len(sequence))
        assert batch.id_T[tokens].tolist() == sequence.ids.tolist()
        segments = [int(place >= sequence.second) for place in range(len(sequence))]
        assert batch.segment_T[tokens].tolist() == segments
        assert batch.examples[row] == examples[sequence.owner]

"""Packed tokens: every token in exactly one block, padding where the layout says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.nn.encoder import Encoder, EncoderConfig
from bertsmith.nn.heads import Head, MaskedWordHead, Model, PretrainingHead, SequenceHead, TokenHead, first_of_each
from bertsmith.nn.layout import Layout, Reads

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
        side = block.sides[Reads.ALL]
        assert (side.rows.start, block.sequences.start) == (token, sequence)
        inside = lengths[block.sequences]
        assert block.count == len(inside) > 0
        assert side.longest == max(inside)
        assert side.rows.stop - side.rows.start == sum(inside)
        token, sequence = side.rows.stop, block.sequences.stop
    assert (token, sequence) == (sum(lengths), len(lengths))


@given(LENGTHS)
def test_padded_places_hold_each_sequence_in_a_row_of_its_own(lengths: list[int]) -> None:
    layout = Layout.of(lengths)
    for block in layout.blocks:
        inside = lengths[block.sequences]
        side = block.sides[Reads.ALL]
        padded = np.full(block.count * side.longest, -1)
        tokens = np.arange(side.rows.start, side.rows.stop)
        if side.padded_R is None:
            assert block.bias_S1L is None
            assert set(inside) == {side.longest}
            padded[:] = tokens
        else:
            padded[side.padded_R.numpy()] = tokens
        rows = padded.reshape(block.count, side.longest)
        firsts = layout.first_S[block.sequences].tolist()
        for row, first, length in zip(rows, firsts, inside, strict=True):
            assert row.tolist() == list(range(first, first + length)) + [-1] * (side.longest - length)
        if block.bias_S1L is not None:
            assert block.bias_S1L.shape == (block.count, 1, side.longest)
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
    places = sum(block.count * block.sides[Reads.ALL].longest for block in layout.blocks)
    assert places * (1 - Layout.MOST_PADDING) <= layout.tokens + 8 * len(lengths)


@given(LENGTHS, st.data())
def test_chosen_tokens_lie_where_their_sequences_do(lengths: list[int], data: st.DataObject) -> None:
    chosen = [sorted(data.draw(st.sets(st.integers(0, length - 1), max_size=8))) for length in lengths]
    layout = Layout.of(lengths, chosen=[np.array(each, dtype=np.int32) for each in chosen])
    assert layout.chosen_counts == tuple(map(len, chosen))
    assert layout.chosen_C.dtype == torch.int64
    first_C = layout.first_S.repeat_interleave(torch.tensor(layout.chosen_counts))
    assert (layout.chosen_C - first_C).tolist() == [position for each in chosen for position in each]
    assert layout.position_T[layout.chosen_C].tolist() == [position for each in chosen for position in each]


@given(LENGTHS)
def test_nothing_is_chosen_unless_asked_for(lengths: list[int]) -> None:
    layout = Layout.of(lengths)
    assert layout.chosen_C.tolist() == []
    assert layout.chosen_counts == ()


def test_equal_lengths_need_no_padding() -> None:
    (block,) = Layout.of([7, 7, 7]).blocks
    assert block.sides[Reads.ALL].padded_R is None
    assert block.count == 3


@pytest.mark.parametrize("lengths", [[], [3, 0], [-1]])
def test_an_empty_sequence_is_a_mistake_of_ours(lengths: list[int]) -> None:
    with pytest.raises(AssertionError, match="every sequence needs a token"):
        Layout.of(lengths)


# Heads: which rows of their outputs are whose.

SHAPE = EncoderConfig(
    vocabulary=50, width=16, layers=2, heads=2, inner_width=24, positions=64, segments=2, embedding_width=8
)
WORDS: dict[str, Any] = {
    "width": 16,
    "embedding_width": 8,
    "vocabulary": 50,
    "activation": "gelu",
    "norm_epsilon": 1e-12,
}
HEADS: dict[str, Head] = {
    "sequence": SequenceHead(width=16, outputs=3, activation="tanh", dropout=0.0, dropout_before=False),
    "token": TokenHead(width=16, outputs=3, dropout=0.0),
    "masked": MaskedWordHead(**WORDS),
    "pretraining": PretrainingHead(**WORDS),
}
# the first token and some more in each, in one nothing more; a head of masked words may have none in a sequence
LAYOUT = Layout.of(
    [9, 30, 1, 5], chosen=[np.array(each, dtype=np.int32) for each in ([0, 2, 8], [0, 1, 2, 17, 29], [0], [0, 4])]
)


def outputs_of(head: Head, layout: Layout) -> dict[str, torch.Tensor]:
    with torch.inference_mode():
        encoder = Encoder(SHAPE)
        encoder.initialize(torch.Generator().manual_seed(1))
        id_T = torch.arange(layout.tokens) % SHAPE.vocabulary
        return Model(encoder, head).eval()(id_T, torch.zeros_like(id_T), layout)  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", HEADS)
def test_counts_are_of_the_outputs_rows(name: str) -> None:
    outputs, counts = outputs_of(HEADS[name], LAYOUT), HEADS[name].counts(LAYOUT)
    assert counts.keys() == outputs.keys()
    for output, rows in outputs.items():
        assert len(counts[output]) == len(LAYOUT.lengths)
        assert sum(counts[output]) == len(rows)


def test_counts() -> None:
    assert {
        name: {output: [*rows] for output, rows in head.counts(LAYOUT).items()} for name, head in HEADS.items()
    } == {
        "sequence": {"logits": [1, 1, 1, 1]},
        "token": {"logits": [9, 30, 1, 5]},
        "masked": {"logits": [3, 5, 1, 2]},
        "pretraining": {"logits": [2, 4, 0, 1], "next": [1, 1, 1, 1]},
    }


def test_first_of_each() -> None:
    assert first_of_each([2, 1, 3]).tolist() == [True, False, True, True, False, False]


def test_pretraining_reads_words_as_masked_words_do_and_the_first_token_beside() -> None:
    masked, pretraining = MaskedWordHead(**WORDS), PretrainingHead(**WORDS)
    pretraining.load_state_dict(masked.state_dict(), strict=False)
    is_first = first_of_each(LAYOUT.chosen_counts)
    found = outputs_of(pretraining, LAYOUT)
    torch.testing.assert_close(found["logits"], outputs_of(masked, LAYOUT)["logits"][~is_first])
    # what is masked makes no difference to what is said of the first token
    alone = Layout.of(LAYOUT.lengths, chosen=[np.zeros(1, np.int32)] * 4)
    assert outputs_of(pretraining, alone)["logits"].shape == (0, 50)
    torch.testing.assert_close(outputs_of(pretraining, alone)["next"], found["next"])


def test_a_sequence_without_masks_among_others() -> None:
    none = np.zeros(0, np.int32)
    head = HEADS["masked"]
    layout = Layout.of([4, 3, 6], chosen=[none, np.array([1], np.int32), none])
    assert head.counts(layout) == {"logits": (0, 1, 0)}
    assert outputs_of(head, layout)["logits"].shape == (1, 50)


def test_a_tied_matrix_is_the_encoders_alone() -> None:
    model = Model(Encoder(SHAPE), HEADS["masked"])
    names = [name for name, _ in model.named_parameters()]
    assert [name for name in names if name.endswith("word.weight")] == ["encoder.embeddings.word.weight"]
    assert not [name for name in model.head.to_checkpoint() if "word" in name]

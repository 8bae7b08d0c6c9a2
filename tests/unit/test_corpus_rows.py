"""Rows of a corpus: packing loses and repeats nothing; pairs are fair, and only their texts tell which they are."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from bertsmith.corpus.documents import CorpusOptions, open_documents
from bertsmith.corpus.packed import PackedRows
from bertsmith.corpus.pairs import PairRows
from bertsmith.corpus.store import Store
from bertsmith.errors import DataError, SettingsError
from bertsmith.families import families
from bertsmith.records import IS_NEXT, IS_RANDOM
from bertsmith.tokenizer import Tokenizer
from tiny import write_tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from _pytest.tmpdir import TempPathFactory

    from bertsmith.corpus.packed import CorpusRows
    from bertsmith.records import Encoded

# How many pieces each sentence of each document has.
SHAPES = st.lists(st.lists(st.integers(1, 12), min_size=1, max_size=6), min_size=1, max_size=8)


@pytest.fixture(scope="module", params=["bert", "roberta", "xlm-roberta"])
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: TempPathFactory) -> Tokenizer:
    return tokenizer_of(request.param, tmp_path_factory)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: TempPathFactory) -> Tokenizer:
    return tokenizer_of("bert", tmp_path_factory)


def tokenizer_of(name: str, tmp_path_factory: TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(families()[name], folder)
    return Tokenizer.from_folder(folder)


def store_of(shapes: list[list[int]]) -> Store:
    """A store whose pieces count up from 1000, so that a piece tells its place."""
    counts = np.array([count for lengths in shapes for count in lengths])
    sentences = np.array([len(lengths) for lengths in shapes])
    return Store(
        piece_P=np.arange(1000, 1000 + counts.sum(), dtype=np.int32),
        sentence_S=np.append(0, np.cumsum(counts)),
        document_D=np.append(0, np.cumsum(sentences)),
        place_D=np.array([(0, line) for line in range(1, len(shapes) + 1)], dtype=[("file", "<i4"), ("line", "<i8")]),
        manifest={"files": [{"path": "a.txt"}], "vocab_size": 10**6, "special_ids": []},
    )


def all_of(store: Store) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.arange(store.documents)


def pieces_of(store: Store, document: int) -> list[int]:
    first, stop = store.sentence_S[store.document_D[document : document + 2]]
    pieces: list[int] = store.piece_P[first:stop].tolist()
    return pieces


def within_frame(encoded: Encoded, tokenizer: Tokenizer) -> list[int]:
    """The pieces of a single text, after a look at what stands around them."""
    (plain,) = tokenizer.encode(["a"], max_length=99)
    start, stop = encoded.body
    assert encoded.ids[:start].tolist() == plain.ids[: plain.body[0]].tolist()
    assert encoded.ids[stop:].tolist() == plain.ids[plain.body[1] :].tolist()
    assert encoded.second == len(encoded)
    pieces: list[int] = encoded.ids[start:stop].tolist()
    return pieces


@given(SHAPES, st.integers(1, 40), st.randoms())
def test_full_rows_joined_are_the_documents_joined(
    tokenizer: Tokenizer, shapes: list[list[int]], room: int, random: object
) -> None:
    store = store_of(shapes)
    max_length = room + tokenizer.overhead(pair=False)
    documents = all_of(store)[::2] if store.documents > 2 else all_of(store)
    rows = PackedRows(store, documents, tokenizer, max_length=max_length, packing="full")
    sequences = [rows.sequence(row, seed=1, epoch=0) for row in range(len(rows))]
    wanted: list[int] = []
    for document in documents.tolist():
        wanted += [tokenizer.separator_id] * bool(wanted) + pieces_of(store, document)
    assert [piece for each in sequences for piece in within_frame(each, tokenizer)] == wanted
    assert all(len(each) == max_length for each in sequences[:-1])
    assert len(sequences[-1]) <= max_length
    assert rows.tokens == sum(map(len, sequences))


@given(SHAPES, st.integers(1, 40))
def test_rows_of_single_documents(tokenizer: Tokenizer, shapes: list[list[int]], room: int) -> None:
    store = store_of(shapes)
    max_length = room + tokenizer.overhead(pair=False)
    rows = PackedRows(store, all_of(store), tokenizer, max_length=max_length, packing="documents")
    sequences = [rows.sequence(row, seed=1, epoch=0) for row in range(len(rows))]
    assert rows.tokens == sum(map(len, sequences))
    left = iter(range(len(rows)))
    for document in range(store.documents):
        whole = pieces_of(store, document)
        own = [next(left) for _ in range(-(-len(whole) // room))]
        parts = [within_frame(sequences[row], tokenizer) for row in own]
        assert [piece for part in parts for piece in part] == whole
        lengths = {len(part) for part in parts}
        assert max(lengths) <= room
        assert max(lengths) - min(lengths) <= 1
        assert {rows.place(row) for row in own} == {store.place(document)}
    assert next(left, None) is None


def test_places_of_full_rows(bert: Tokenizer) -> None:
    store = store_of([[5], [2, 2], [6]])
    rows = PackedRows(store, all_of(store), bert, max_length=7, packing="full")
    # a a a a a | s b b b b | s c c c c | c c
    assert [rows.place(row).line for row in range(len(rows))] == [1, 1, 2, 3]


def test_no_room_is_an_error(tokenizer: Tokenizer) -> None:
    store = store_of([[5, 1], [2, 2]])
    with pytest.raises(SettingsError, match="max_length must be at least 3, got 2"):
        PackedRows(store, all_of(store), tokenizer, max_length=2)
    least = tokenizer.overhead(pair=True) + 2
    with pytest.raises(SettingsError, match=f"max_length must be at least {least}, got {least - 1}"):
        PairRows(store, all_of(store), tokenizer, max_length=least - 1, seed=1)


def texts_of(encoded: Encoded, tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """The pieces of both texts of a pair, after a look at what stands around and between them."""
    (plain,) = tokenizer.encode(["a"], ["a"], max_length=99)
    ids, start, stop = encoded.ids.tolist(), *encoded.body
    tail = len(plain.ids) - plain.body[1]
    assert ids[stop:] == plain.ids[plain.body[1] :].tolist()
    assert len(ids) - stop == tail
    pieces = [piece for piece in ids if piece >= 1000]
    count = stop - start
    first, second = pieces[:-count], pieces[-count:]
    assert ids == tokenizer.frame(np.array(first), np.array(second)).ids.tolist()
    return first, second


@given(SHAPES, st.integers(2, 40), st.sampled_from([0.0, 0.1, 1.0]), st.integers(0, 99))
def test_pairs(tokenizer: Tokenizer, shapes: list[list[int]], room: int, short_share: float, seed: int) -> None:
    store = store_of([[3, 4], *shapes, [2, 2, 9]])
    overhead = tokenizer.overhead(pair=True)
    rows = PairRows(store, all_of(store), tokenizer, max_length=room + overhead, short_share=short_share, seed=seed)
    assert rows.left_out == sum(len(lengths) == 1 for lengths in shapes)
    owner = np.repeat(np.arange(store.documents), np.diff(store.sentence_S[store.document_D]))
    begins = set((1000 + store.sentence_S[store.document_D[:-1]]).tolist())
    tokens = 0
    for row in range(len(rows)):
        encoded = rows.sequence(row, seed=seed, epoch=0)
        first, second = texts_of(encoded, tokenizer)
        assert len(first) >= 1 <= len(second)
        assert len(encoded) <= room + overhead
        for text in (first, second):
            assert all(after == before + 1 for before, after in pairwise(text))
        of_first, of_second = (
            {int(owner[piece - 1000]) for piece in first},
            {int(owner[piece - 1000]) for piece in second},
        )
        assert of_first == {(rows.place(row).line or 0) - 1}
        assert len(of_second) == 1
        assert encoded.chosen is not None
        assert encoded.truth is not None
        assert encoded.chosen.tolist() == [0]
        assert encoded.second == (len(first) + 2 if len(set(_segments(tokenizer))) == 2 else len(encoded))
        if encoded.truth.tolist() == [IS_NEXT]:
            assert of_second == of_first
            assert second[0] > first[-1]
            assert encoded.cut or second[0] == first[-1] + 1
            tokens += len(encoded)
        else:
            assert encoded.truth.tolist() == [IS_RANDOM]
            assert of_second != of_first
            assert second[0] not in begins
            tokens += len(rows.sequence(row, seed=seed, epoch=0))


def _segments(tokenizer: Tokenizer) -> list[bool]:
    (plain,) = tokenizer.encode(["a"], ["a"], max_length=99)
    return [position >= plain.second for position in range(len(plain))]


def epoch_of(rows: CorpusRows, *, seed: int, epoch: int) -> list[tuple[list[int], list[int]]]:
    found = [rows.sequence(row, seed=seed, epoch=epoch) for row in range(len(rows))]
    return [(each.ids.tolist(), [] if each.truth is None else each.truth.tolist()) for each in found]


def test_pairs_are_a_function_of_seed_and_epoch(bert: Tokenizer) -> None:
    store = store_of([[3, 4, 5, 6, 7, 8]] * 40)
    rows = PairRows(store, all_of(store), bert, max_length=24, seed=1)
    again = PairRows(store, all_of(store), bert, max_length=24, seed=1)
    first = epoch_of(rows, seed=1, epoch=0)
    assert epoch_of(again, seed=1, epoch=0) == first
    assert epoch_of(rows, seed=1, epoch=1) != first
    assert epoch_of(rows, seed=2, epoch=0) != first
    other = PairRows(store, all_of(store), bert, max_length=24, seed=2)
    assert [other.place(row) for row in range(len(other))] != [rows.place(row) for row in range(len(rows))]


def test_pairs_are_fair_and_uniform(bert: Tokenizer) -> None:
    """Half are true, a row's truth varies, and random texts come from all other documents, long ones more often."""
    store = store_of([[4, 4, 4], [4] * 30, [4, 4, 4], [7]])
    rows = PairRows(store, all_of(store), bert, max_length=15, short_share=0.0, seed=1)
    owner = np.repeat(np.arange(store.documents), np.diff(store.sentence_S[store.document_D]))
    draws, truths, places = 400, [], []
    for epoch in range(draws):
        encoded = rows.sequence(0, seed=3, epoch=epoch)
        assert encoded.truth is not None
        truths.append(int(encoded.truth[0]))
        if truths[-1] == IS_RANDOM:
            places.append(int(owner[encoded.ids[encoded.body[0]] - 1000]))
    # four standard deviations of a fair coin
    assert abs(sum(truths) - draws / 2) <= 4 * np.sqrt(draws) / 2
    assert set(places) == {1, 2}
    assert places.count(1) > 5 * places.count(2)


def test_short_pairs(bert: Tokenizer) -> None:
    store = store_of([[1] * 2000] * 3)
    room = 100
    for share in (0.0, 0.1, 1.0):
        rows = PairRows(store, all_of(store), bert, max_length=room + 3, short_share=share, seed=1)
        lengths = np.array([len(rows.sequence(row, seed=1, epoch=0)) for row in range(len(rows))]) - 3
        # a tenth of the chunks; the last one of a document is short by chance
        assert abs((lengths < room).mean() - share) <= 0.1
        assert lengths.min() >= 2


def test_texts_that_are_too_long_lose_pieces_at_both_ends(bert: Tokenizer) -> None:
    store = store_of([[20, 20], [30, 30]])
    rows = PairRows(store, all_of(store), bert, max_length=33, short_share=0.0, seed=1)
    starts, cuts = set(), set()
    for epoch in range(30):
        encoded = rows.sequence(0, seed=1, epoch=epoch)
        first, second = texts_of(encoded, bert)
        assert len(first) == len(second) == 15
        starts.add(first[0] - 1000)
        cuts.add(encoded.cut)
    assert len(starts) > 2
    assert starts <= set(range(6))
    assert cuts == {10, 20}


@pytest.mark.parametrize("shapes", [[[3, 3]], [[3], [4], [5]], [[3, 3], [4]]])
def test_corpora_without_neighbours(bert: Tokenizer, shapes: list[list[int]]) -> None:
    store = store_of(shapes)
    with pytest.raises(DataError, match=r"^a\.txt: [01] of \d documents have two sentences or more.* of those; try x$"):
        PairRows(store, all_of(store), bert, max_length=20, seed=1, advice="; try x")


@pytest.mark.data
def test_pairs_of_real_text(data_sets: Path, tmp_path: Path, bert: Tokenizer) -> None:
    """Half are true; and how long the texts are does not tell which."""
    documents = open_documents([data_sets / "pubmed_abstracts" / "abstracts.txt"], CorpusOptions(sentences="split"))
    store = Store.build(tmp_path / "store", documents, bert)
    rows = PairRows(store, all_of(store), bert, max_length=128, seed=1)
    sequences = [rows.sequence(row, seed=1, epoch=epoch) for epoch in range(2) for row in range(len(rows))]
    truth = np.array([each.truth[0] for each in sequences if each.truth is not None])
    assert abs(truth.mean() - 0.5) <= 0.03
    for measure in _measures():
        assert abs(roc_auc_score(truth, [measure(each) for each in sequences]) - 0.5) <= 0.05
    assert sum(map(len, sequences)) / 2 == pytest.approx(rows.tokens, rel=0.02)


def _measures() -> list[Callable[[Encoded], int]]:
    return [len, lambda each: each.second, lambda each: len(each) - each.second]

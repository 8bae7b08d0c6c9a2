"""Documents as pieces on disk: what goes in comes out, a part at a time, and what is broken is noticed."""

from __future__ import annotations

import json
from collections import Counter
from itertools import chain, pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.corpus import store as store_module
from bertsmith.corpus.documents import CorpusOptions, Document, Documents, open_documents
from bertsmith.corpus.settings import CorpusSettings
from bertsmith.corpus.store import Store, split
from bertsmith.errors import BundleError, DataError, InputError
from bertsmith.families import families
from bertsmith.records import Place
from bertsmith.tokenizer import Tokenizer
from tiny import TEXTS, write_tokenizer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from _pytest.tmpdir import TempPathFactory

LINES = CorpusOptions(sentences="lines")
NOTHING = "\u0001"  # a control character, of which BERT's rules leave nothing


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: TempPathFactory) -> dict[str, Tokenizer]:
    """One of each kind: WordPiece, byte-level BPE, Unigram."""
    return {name: tokenizer_of(name, tmp_path_factory.mktemp(name)) for name in ("bert", "roberta", "xlm-roberta")}


@pytest.fixture(scope="module")
def tokenizer(tokenizers: dict[str, Tokenizer]) -> Tokenizer:
    return tokenizers["bert"]


def tokenizer_of(family: str, folder: Path) -> Tokenizer:
    write_tokenizer(families()[family], folder)
    return Tokenizer.from_folder(folder)


def corpus_of(folder: Path, texts: list[list[str]]) -> Documents:
    """The documents of two files, a sentence a line."""
    files = []
    for name, part in (("a.txt", texts[::2]), ("b.txt", texts[1::2])):
        if part:
            files.append(folder / name)
            files[-1].write_text("\n".join("".join(f"{line}\n" for line in lines) for lines in part))
    return open_documents(files, LINES)


def pieces_of(store: Store, document: int) -> list[list[int]]:
    first, stop = store.document_D[document : document + 2]
    begins = store.sentence_S[first : stop + 1].tolist()
    return [store.piece_P[begin:end].tolist() for begin, end in pairwise(begins)]


@given(st.lists(st.lists(st.sampled_from([*TEXTS, NOTHING]), min_size=1, max_size=4), min_size=1, max_size=8))
def test_documents_come_back(tmp_path_factory: TempPathFactory, tokenizer: Tokenizer, texts: list[list[str]]) -> None:
    folder = tmp_path_factory.mktemp("store")
    documents = corpus_of(folder, texts)
    wanted = [(document.place, [ids for ids in tokenizer.pieces(document.sentences) if ids]) for document in documents]
    wanted = [(place, sentences) for place, sentences in wanted if sentences]
    if not wanted:
        with pytest.raises(DataError, match=r"a\.txt: no document holds a word piece"):
            Store.build(folder / "store", documents, tokenizer)
        return
    built = Store.build(folder / "store", documents, tokenizer)
    for store in (built, Store.open(folder / "store")):
        assert [(store.place(number), pieces_of(store, number)) for number in range(store.documents)] == wanted
        assert store.sentences == sum(len(sentences) for _, sentences in wanted)
        assert store.pieces == sum(len(ids) for _, sentences in wanted for ids in sentences)
        assert store.manifest["sentences_left_out"] == sum(lines.count(NOTHING) for lines in texts)


SENTENCES = st.sampled_from([*TEXTS, "<mask> it is", "It is [MASK]", "\u0301a", "'s", "10 %", "ünd"])


@pytest.mark.parametrize("family", ["bert", "roberta", "xlm-roberta"])
@given(st.lists(st.lists(SENTENCES, min_size=1, max_size=4), min_size=1, max_size=4))
def test_a_document_has_the_pieces_of_its_text(
    tmp_path_factory: TempPathFactory, tokenizers: dict[str, Tokenizer], family: str, texts: list[list[str]]
) -> None:
    tokenizer, folder = tokenizers[family], tmp_path_factory.mktemp("store")
    documents = corpus_of(folder, texts)
    store = Store.build(folder / "store", documents, tokenizer)
    joined = [" ".join(document.sentences) for document in documents]
    stored = [[*chain.from_iterable(pieces_of(store, number))] for number in range(store.documents)]
    assert stored == [*tokenizer.pieces(joined)]
    assert store.sentences == sum(map(len, texts)), "and their boundaries stay"


def test_byte_level_words_begin_with_their_blank(tmp_path: Path, tokenizers: dict[str, Tokenizer]) -> None:
    """Whole words are hidden by it: without, the first word of a sentence would belong to the full stop before it."""
    roberta = tokenizers["roberta"]
    store = Store.build(tmp_path / "store", corpus_of(tmp_path, [["No.", "No."]]), roberta)
    first, second = pieces_of(store, 0)
    assert roberta.continues[first[0]]
    assert not roberta.continues[second[0]]


@given(st.sets(st.integers(0, 5)))
def test_pieces_are_counted(tmp_path_factory: TempPathFactory, tokenizer: Tokenizer, chosen: set[int]) -> None:
    folder = tmp_path_factory.mktemp("store")
    store = Store.build(folder / "store", corpus_of(folder, [[f"{text} [MASK]"] for text in TEXTS]), tokenizer)
    wanted: Counter[int] = Counter()
    for number in chosen:
        wanted.update(pieces_of(store, number)[0])
    for special in tokenizer.special_ids:
        wanted.pop(special, None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store_module, "_PIECES_AT_ONCE", 3)
        found = store.unigram(np.array(sorted(chosen), dtype=np.int64))
    assert found.shape == (tokenizer.vocab_size,)
    assert {int(piece): int(found[piece]) for piece in np.flatnonzero(found)} == dict(wanted)


class Counted(Documents):
    """More documents than may be in memory at once, made as they are asked for."""

    given = 0

    def __iter__(self) -> Iterator[Document]:
        for line in range(1, 40_001):
            self.given = line
            yield Document((TEXTS[line % len(TEXTS)],), Place(str(self.files[0]), line))


def test_documents_are_taken_as_they_are_stored(tmp_path: Path, tokenizer: Tokenizer) -> None:
    documents = corpus_of(tmp_path, [["a"]])
    counted = Counted(documents._readers, LINES, split_lines=False, note="")
    ahead = []

    def progress(stored: int, pieces: int) -> None:
        ahead.append(counted.given - stored)
        on_disk = (tmp_path / "store" / "pieces.bin").stat().st_size // 2
        assert 0 <= pieces - on_disk <= 1 << 16, "what is stored is on disk, but for the file's buffer"

    store = Store.build(tmp_path / "store", counted, tokenizer, progress=progress)
    assert store.documents == 40_000
    assert len(ahead) > 5
    assert max(ahead) == 0


def test_large_vocabularies_take_wide_numbers(tmp_path: Path, tokenizer: Tokenizer) -> None:
    documents = corpus_of(tmp_path, [["No."], ["A fine film"]])
    narrow = Store.build(tmp_path / "narrow", documents, tokenizer)
    assert narrow.piece_P.dtype == np.uint16
    wide_tokenizer = Tokenizer.from_folder(_saved(tokenizer, tmp_path / "tokenizer"))
    wide_tokenizer.vocab_size = 65_537
    wide = Store.build(tmp_path / "wide", documents, wide_tokenizer)
    assert wide.piece_P.dtype == np.int32
    assert wide.piece_P.tolist() == narrow.piece_P.tolist()


def _saved(tokenizer: Tokenizer, folder: Path) -> Path:
    tokenizer.save(folder)
    return folder


def test_the_manifest_says_where_it_is_from(tmp_path: Path, tokenizer: Tokenizer) -> None:
    documents = corpus_of(tmp_path, [["No."], ["Yes"]])
    manifest = Store.build(tmp_path / "store", documents, tokenizer).manifest
    assert [file["path"] for file in manifest["files"]] == [str(tmp_path / "a.txt"), str(tmp_path / "b.txt")]
    assert manifest["files"][0]["bytes"] == 4
    assert manifest["options"] == LINES.model_dump()
    assert manifest["vocab_size"] == tokenizer.vocab_size
    settings = CorpusSettings(**LINES.model_dump(), corpus=("a.txt",), short_share=0.5)
    documents = open_documents(documents.files, settings)
    of_settings = Store.build(tmp_path / "settings", documents, tokenizer).manifest
    assert of_settings["options"] == LINES.model_dump(), "how rows are made of the pieces does not matter to them"


def test_a_store_knows_its_tokenizer(tmp_path: Path, tokenizers: dict[str, Tokenizer]) -> None:
    documents = corpus_of(tmp_path, [["No."], ["Yes"]])
    for name, tokenizer in tokenizers.items():
        store = Store.build(tmp_path / name, documents, tokenizer)
        again = Tokenizer.from_folder(_saved(tokenizer, tmp_path / f"saved {name}"))
        assert store.manifest["tokenizer"] == tokenizer.fingerprint == again.fingerprint
        assert [other for other in tokenizers if store.made_with(tokenizers[other])] == [name]


def test_broken_stores_are_noticed(tmp_path: Path, tokenizer: Tokenizer) -> None:
    folder = tmp_path / "store"

    def error() -> str:
        with pytest.raises(BundleError) as caught:
            Store.open(folder)
        return str(caught.value)

    assert error() == f"{folder}: there is no store.json, so the tokenized corpus is not whole; build it again"
    Store.build(folder, corpus_of(tmp_path, [["No."], ["It is what it is"]]), tokenizer)
    good = (folder / "store.json").read_text()
    for name in ("pieces", "sentences", "documents", "places"):
        path = folder / f"{name}.bin"
        raw = path.read_bytes()
        path.write_bytes(raw[:-1])
        size = f"{len(raw) - 1} bytes, {len(raw)} bytes expected; build the tokenized corpus again"
        assert error() == f"{path}: {size}"
        path.unlink()
        assert error().startswith(f"{path}: is missing, ")
        path.write_bytes(raw)
    for broken in ("{", "[]", '{"format": 2}'):
        (folder / "store.json").write_text(broken)
        assert error().startswith(f"{folder / 'store.json'}: damaged: ")
    (folder / "store.json").write_text(json.dumps({**json.loads(good), "format": 1}))
    assert error() == f"{folder / 'store.json'}: format 1, only 2 is known; build it again"


def test_a_build_that_fails_leaves_no_store(tmp_path: Path, tokenizer: Tokenizer) -> None:
    folder = tmp_path / "store"
    Store.build(folder, corpus_of(tmp_path, [["No."], ["Yes"]]), tokenizer)
    (tmp_path / "b.txt").write_bytes(b"\xff\n")
    broken = open_documents([tmp_path / "a.txt", tmp_path / "b.txt"], LINES)
    with pytest.raises(DataError, match=r"b\.txt:1: byte 0xff"):
        Store.build(folder, broken, tokenizer)
    with pytest.raises(BundleError, match="not whole"):
        Store.open(folder)


def test_a_full_disk_is_noticed_first(tmp_path: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "_space_for", lambda files, piece_type: 10**18)
    with pytest.raises(InputError, match="the tokenized corpus needs"):
        Store.build(tmp_path / "store", corpus_of(tmp_path, [["No."]]), tokenizer)
    assert not (tmp_path / "store").exists()


@given(st.integers(0, 200), st.floats(0, 0.999), st.integers(0, 9))
def test_whole_documents_are_held_out(count: int, fraction: float, seed: int) -> None:
    train, held_out = split(count, fraction=fraction, seed=seed)
    assert sorted([*train, *held_out]) == list(range(count))
    assert train.dtype == held_out.dtype == np.int64
    assert (np.diff(train) > 0).all()
    assert (np.diff(held_out) > 0).all()
    if count > 1 and fraction > 0:
        assert 1 <= len(held_out) < count
        assert abs(len(held_out) - count * fraction) <= 1
    else:
        assert not len(held_out)
    again = split(count, fraction=fraction, seed=seed)
    assert again[1].tolist() == held_out.tolist()


def test_another_seed_holds_out_others() -> None:
    assert split(100, fraction=0.1, seed=1)[1].tolist() != split(100, fraction=0.1, seed=2)[1].tolist()

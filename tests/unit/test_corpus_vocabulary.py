"""Vocabularies of one's own: the same each time, and read alike by transformers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from transformers import AutoTokenizer

from bertsmith.corpus import vocabulary
from bertsmith.corpus.documents import CorpusOptions, Documents, open_documents
from bertsmith.corpus.vocabulary import train_wordpiece
from bertsmith.errors import DataError, InputError, SettingsError
from bertsmith.tokenizer import Tokenizer

if TYPE_CHECKING:
    from pathlib import Path

FILES = ["special_tokens_map.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt"]
# Many words of few letters, so that many merges are equally frequent.
WORDS = [a + b + c + d for a in "abcde" for b in "oui" for c in "klmn" for d in "aeiou"]


@pytest.fixture
def documents(tmp_path: Path) -> Documents:
    lines = [f"The {word} and Café {other}, 中文." for word, other in zip(WORDS, reversed(WORDS), strict=True)]
    (tmp_path / "a.txt").write_text("\n\n".join(lines), encoding="utf-8")
    return open_documents([tmp_path / "a.txt"], CorpusOptions(sentences="lines"))


def test_the_same_corpus_gives_the_same_files(tmp_path: Path, documents: Documents) -> None:
    folders = [train_wordpiece(documents, tmp_path / f"tokenizer-{number}", size=200) for number in range(3)]
    for folder in folders:
        assert sorted(path.name for path in folder.iterdir()) == FILES
        assert [(folder / name).read_bytes() for name in FILES] == [(folders[0] / name).read_bytes() for name in FILES]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("lowercase", [True, False])
def test_it_opens_here_and_in_transformers(tmp_path: Path, documents: Documents, lowercase: bool) -> None:
    folder = train_wordpiece(documents, tmp_path / "new", size=200, lowercase=lowercase, max_length=77)
    ours, theirs = Tokenizer.from_folder(folder), AutoTokenizer.from_pretrained(str(folder))
    pieces = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    assert pieces[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert len(pieces) == ours.vocab_size == len(theirs) == 200
    assert (ours.pad_id, ours.unk_id, ours.mask_id, ours.separator_id) == (0, 1, 4, 3)
    assert ours.special_ids == set(range(5))
    assert ours.max_length == theirs.model_max_length == 77
    assert ("T" in pieces) is not lowercase
    assert "##." not in pieces
    assert "##中" not in pieces
    for text in ("The boka and Café, 中文!", "What [MASK] is a ȟat?", "doku the"):
        (encoded,) = ours.encode([text], max_length=77)
        assert encoded.ids.tolist() == theirs(text)["input_ids"]
    (known,) = ours.pieces(["The boka and café, 中文."])
    assert 1 not in known


def test_a_small_corpus_gives_fewer_pieces(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("the cat sat\n")
    folder = train_wordpiece(open_documents([tmp_path / "a.txt"]), tmp_path / "new", size=1000)
    assert 5 < Tokenizer.from_folder(folder).vocab_size < 40


def test_the_corpus_is_read_as_a_stream(tmp_path: Path, documents: Documents, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary, "_SENTENCES_AT_ONCE", 100)
    seen: list[tuple[int, int]] = []
    train_wordpiece(
        documents, tmp_path / "new", size=200, progress=lambda reading, count: seen.append((reading, count))
    )
    assert seen == [(reading, count) for reading in (1, 2) for count in (100, 200, 300, 300)]


def test_rare_characters_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary, "_CHARACTERS", 3)
    monkeypatch.setattr(vocabulary, "_COVERED", 0.95)
    (tmp_path / "a.txt").write_text("abcde " * 99 + "é z x\n", encoding="utf-8")
    found = open_documents([tmp_path / "a.txt"])
    tokenizer = Tokenizer.from_folder(train_wordpiece(found, tmp_path / "new", size=100, lowercase=False))
    known, unknown = tokenizer.pieces(["abcde", "z"])
    assert tokenizer.unk_id not in known
    assert unknown == [tokenizer.unk_id]


def test_what_cannot_be_learned_from(tmp_path: Path, documents: Documents) -> None:
    with pytest.raises(SettingsError, match="size must be at least 100 pieces, got 99"):
        train_wordpiece(documents, tmp_path / "new", size=99)
    with pytest.raises(InputError, match="is there already"):
        train_wordpiece(documents, tmp_path, size=200)
    (tmp_path / "b.txt").write_text("\u0001\n")
    with pytest.raises(DataError, match="no document holds a character"):
        train_wordpiece(open_documents([tmp_path / "b.txt"]), tmp_path / "new", size=200)
    assert not (tmp_path / "new").exists()

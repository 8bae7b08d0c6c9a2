"""A WordPiece vocabulary of one's own (Wu et al. 2016, §4.1; Devlin et al. 2019), learned from a corpus."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import tokenizers
from tokenizers import models, normalizers, pre_tokenizers, trainers

from bertsmith.errors import DataError, InputError, SettingsError
from bertsmith.files import move_folder
from bertsmith.tokenizer import Tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from bertsmith.corpus.documents import Documents

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_LEAST = 100
# The characters that get a piece of their own, the most frequent first: as many as make nearly all of the text, which
# is what SentencePiece does for Chinese (Kudo and Richardson 2018), and so many in any case. Others become [UNK].
_COVERED, _CHARACTERS = 0.9999, 1000
_SENTENCES_AT_ONCE = 1024


def train_wordpiece(
    documents: Documents,
    folder: Path,
    *,
    size: int = 30_522,
    lowercase: bool = True,
    max_length: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Learns a vocabulary of at most `size` pieces and writes the tokenizer to a new folder, which it returns.

    The folder opens in `Tokenizer.from_folder`, and in `transformers.AutoTokenizer`, with the same ids. The same
    corpus gives the same files. A small corpus gives fewer pieces: `Tokenizer.vocab_size` says how many. Memory grows
    with the number of different words, not with the corpus, which is read twice.

    lowercase: lower case without accents, as in bert-base-uncased. max_length: the longest sequence in tokens that the
    folder names. progress: called now and then with which of the two readings it is, 1 or 2, and how many documents of
    it are done.

    Raises: SettingsError for a size under 100; InputError where the folder is there already; DataError for what the
    documents raise, and where they hold no word.
    """
    if size < _LEAST:
        raise SettingsError(f"size must be at least {_LEAST} pieces, got {size}")
    if folder.exists():
        raise InputError(f"{folder}: is there already; give a new folder for the tokenizer")
    rules = normalizers.BertNormalizer(lowercase=lowercase)
    splitter = pre_tokenizers.BertPreTokenizer()
    counts: Counter[str] = Counter()
    for sentences in _sentences(documents, reading=1, progress=progress):
        for sentence in sentences:
            counts.update(rules.normalize_str(sentence))
    alphabet = _alphabet(counts, most=(size - len(SPECIAL)) // 4)
    if not alphabet:
        raise DataError("no document holds a character that is no blank", place=None)
    # Punctuation and Chinese characters always stand alone, and are never inside a word.
    inside = ["##" + each for each in alphabet if len(splitter.pre_tokenize_str(rules.normalize_str("a" + each))) == 1]
    raw = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))  # noqa: S106
    raw.normalizer, raw.pre_tokenizer = rules, splitter
    # The library numbers the pieces inside words in the order of a table that differs from run to run, and of two
    # equally frequent merges takes the one with the lower numbers. Special tokens get their numbers first, in order.
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        special_tokens=[*SPECIAL, *alphabet, *inside],
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        show_progress=False,
    )
    raw.train_from_iterator(_sentences(documents, reading=2, progress=progress), trainer)
    vocab: Mapping[str, int] = raw.get_vocab()
    _write(folder, sorted(vocab, key=vocab.__getitem__), lowercase=lowercase, max_length=max_length)
    return folder


def _sentences(
    documents: Documents, *, reading: int, progress: Callable[[int, int], None] | None
) -> Iterator[Sequence[str]]:
    """The sentences, some at a time, as the library is slow where it is given each alone."""
    sentences: list[str] = []
    count = 0
    for count, document in enumerate(documents, 1):
        sentences += document.sentences
        if len(sentences) >= _SENTENCES_AT_ONCE:
            yield sentences
            sentences = []
            if progress is not None:
                progress(reading, count)
    yield sentences
    if progress is not None:
        progress(reading, count)


def _alphabet(counts: Counter[str], *, most: int) -> list[str]:
    """The characters to keep, in the order of their code points."""
    for blank in [each for each in counts if each.isspace()]:
        del counts[blank]
    by_frequency = sorted(counts, key=lambda each: (-counts[each], each))
    left = (1 - _COVERED) * counts.total()  # the characters that may be left out
    rare = 0
    for each in reversed(by_frequency):
        left -= counts[each]
        if left < 0:
            break
        rare += 1
    return sorted(by_frequency[: min(most, max(_CHARACTERS, len(by_frequency) - rare))])


def _write(folder: Path, pieces: Sequence[str], *, lowercase: bool, max_length: int | None) -> None:
    """All files of a tokenizer, out of the two that say everything."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    config = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": lowercase,
        **({} if max_length is None else {"model_max_length": max_length}),
    }
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
        bare, whole = Path(temporary) / "bare", Path(temporary) / "whole"
        bare.mkdir()
        lines = "".join(f"{piece}\n" for piece in pieces)
        (bare / "vocab.txt").write_text(lines, encoding="utf-8", newline="\n")
        (bare / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
        Tokenizer.from_folder(bare).save(whole)
        move_folder(whole, folder)

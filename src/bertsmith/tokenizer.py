"""Texts and pairs of texts → `Encoded`: ids with special tokens, segments, spans, truncation, windows.

A thin layer over the `tokenizers` library, which finds the pieces. The special tokens around them are laid
here, from a frame that is learned once from the folder's own post-processor; so truncation and windows are
plain slices of lists, and a file's own truncation and padding cannot leak in.

Texts that hold a special token literally ("a [SEP] b") get that token's id, as in `transformers`: the token
belongs to the vocabulary, and rows that come with it (a ready-made `<mask>`, say) need it.

The library works on threads of its own and must not be forked after use; nothing here forks, and nothing here
sets TOKENIZERS_PARALLELISM.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import itertools
import json
import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from bertsmith.errors import CheckpointError, InputError, SettingsError, listed
from bertsmith.records import Encoded, Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

# The names by which a special token is found where the folder does not say: BERT's, then RoBERTa's.
_USUAL_NAMES = {
    "pad": ("[PAD]", "<pad>"),
    "unk": ("[UNK]", "<unk>"),
    "cls": ("[CLS]", "<s>"),
    "sep": ("[SEP]", "</s>"),
    "mask": ("[MASK]", "<mask>"),
}
# Classes of `transformers` by whose rules a bare vocabulary is read. Others (BertJapaneseTokenizer with its
# own word splitter, MPNetTokenizer with other special tokens …) read the same files and give other ids.
_VOCAB_TXT_CLASSES = ("BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer")
_VOCAB_JSON_CLASSES = ("RobertaTokenizer",)
_AS_THE_FILE_SAYS = ("PreTrainedTokenizerFast", "TokenizersBackend")
_SENTENCEPIECE_FILES = ("sentencepiece.bpe.model", "spiece.model", "spm.model", "tokenizer.model")
# Keys of tokenizer_config.json that name files, name code, or repeat what tokenizer.json says.
_NOT_SAVED = {
    "added_tokens_decoder", "auto_map", "is_local", "local_files_only", "merges_file", "name_or_path",
    "special_tokens_map_file", "tokenizer_file", "vocab_file",
}  # fmt: skip
_MOST_BYTES = 256 * 2**20  # of a file; the largest vocabularies in use take some 35 MB
_NO_LIMIT = 10**6  # `transformers` writes 1e30 where it knows no limit
# The library's records take far more memory than ours (some 200 bytes a piece) and live for a chunk only.
_TEXTS_AT_ONCE, _CHARACTERS_AT_ONCE = 1024, 2**22
# A text alone of at most so many characters does without the library's threads, which it would wait for; a longer one
# does with them, as other threads of Python's stand still meanwhile.
_SHORT = 2**12
_HEAD_SHARE = 128 / 510

FlagT = TypeVar("FlagT", bool, bool | None)


class Truncation(enum.StrEnum):
    """Which pieces stay where a text is too long.

    HEAD cuts its end, TAIL its start. HEAD_TAIL cuts its middle and keeps 128/510 of the room for its start:
    Sun et al. 2019, "How to Fine-Tune BERT for Text Classification?", §5.3.1 (first 128, last 382 of 510).
    """

    HEAD = "head"
    TAIL = "tail"
    HEAD_TAIL = "head+tail"


@dataclass(frozen=True, slots=True)
class _Pieces:
    """The pieces of one text, without special tokens. spans: [n, 2], None unless asked for."""

    ids: list[int]
    spans: NDArray[np.int32] | None

    def __len__(self) -> int:
        return len(self.ids)

    def part(self, start: int, stop: int) -> _Pieces:
        return _Pieces(self.ids[start:stop], None if self.spans is None else self.spans[start:stop])

    def kept(self, room: int, truncation: Truncation) -> _Pieces:
        """At most `room` of these pieces."""
        count = len(self)
        if count <= room:
            return self
        if truncation is Truncation.HEAD:
            return self.part(0, room)
        if truncation is Truncation.TAIL:
            return self.part(count - room, count)
        head = round(room * _HEAD_SHARE)
        cut = slice(head, count - room + head)
        ids = self.ids.copy()
        del ids[cut]
        return _Pieces(ids, None if self.spans is None else np.delete(self.spans, cut, axis=0))


_NOTHING = _Pieces([], np.zeros((0, 2), dtype=np.int32))


@dataclass(frozen=True, slots=True)
class _Frame:
    """The special tokens: before the first text, between two, after the last.

    second: how many tokens of `between` still belong to segment 0; None where everything does (RoBERTa).
    """

    before: list[int]
    between: list[int]
    after: list[int]
    second: int | None

    def __len__(self) -> int:
        return len(self.before) + len(self.between) + len(self.after)

    def around(
        self, first: _Pieces, last: _Pieces, *, owner: int, cut: int, spans: bool, offset: int = 0, windows: int = 1
    ) -> Encoded:
        """The whole sequence. A single text stands as `last`, after an empty `first`."""
        ids = [*self.before, *first.ids, *self.between, *last.ids, *self.after]
        middle = len(self.before) + len(first)
        body = middle + len(self.between), len(ids) - len(self.after)
        spans_N2 = None
        if spans:
            assert first.spans is not None
            assert last.spans is not None
            spans_N2 = np.full((len(ids), 2), -1, dtype=np.int32)
            spans_N2[len(self.before) : middle] = first.spans
            spans_N2[slice(*body)] = last.spans
        return Encoded(
            ids=np.array(ids, dtype=np.int32),
            second=len(ids) if self.second is None else middle + self.second,
            owner=owner,
            cut=cut,
            spans=spans_N2,
            body=body,
            offset=offset,
            windows=windows,
        )


class Tokenizer:
    """Turns texts into `Encoded`. Open one with `from_folder`; it never changes, so threads may share it.

    vocab_size: one more than the largest id, added tokens among them. unk_id, mask_id: None where the vocabulary
    has no such token. special_ids: the ids of all special tokens. max_length: the limit that the folder
    names, in tokens with the special ones; None where it names none.
    """

    def __init__(self, raw: tokenizers.Tokenizer, folder: _Folder, names: Mapping[str, str]) -> None:
        raw.no_truncation()
        raw.no_padding()
        if isinstance(raw.model, models.BPE):
            raw.model.dropout = None  # at random, another split each time: not here
        self._raw = raw
        self._config = _config_to_save(raw, folder, names)
        self._special_tokens_map = {**folder.special_tokens_map, **_as_keys(names)}
        self._writes_vocab_txt = folder.has("vocab.txt") and isinstance(raw.model, models.WordPiece)
        self._single, self._pair = _learn_frames(raw, folder)
        ids = {name: index for name, token in names.items() if (index := raw.token_to_id(token)) is not None}
        self.vocab_size = 1 + max(raw.get_vocab().values())
        self.pad_id = ids["pad"]
        self.unk_id = ids.get("unk")
        self.mask_id = ids.get("mask")
        self.special_ids = frozenset(index for index, token in raw.get_added_tokens_decoder().items() if token.special)
        self.max_length = folder.max_length()

    @classmethod
    def from_folder(cls, path: Path) -> Tokenizer:
        """Opens tokenizer.json, else vocab.txt (BERT), else vocab.json with merges.txt (RoBERTa) of a folder.

        The ids are those of `transformers.AutoTokenizer` on the same folder, with two exceptions. A setting
        (do_lower_case, add_prefix_space …) that tokenizer_config.json does not name is tokenizer.json's here,
        the class's default there. A bare RoBERTa vocabulary's `<mask>` takes the space before it along here,
        as it does in RoBERTa's own tokenizer.json.

        Raises:
            CheckpointError: nothing to open, a broken file, a special token that the vocabulary lacks, a line
                that comes twice in vocab.txt, a class whose rules are not known here.
        """
        folder = _Folder.read(path)
        if folder.has("tokenizer.json"):
            raw, names = _open_tokenizer_json(folder)
        elif folder.has("vocab.txt"):
            raw, names = _open_vocab_txt(folder)
        elif folder.has("vocab.json") and folder.has("merges.txt"):
            raw, names = _open_vocab_json(folder)
        else:
            raise CheckpointError(_what_is_missing(folder), place=Place(str(path)))
        return cls(raw, folder, names)

    def overhead(self, *, pair: bool) -> int:
        """How many special tokens stand around one text, or around and between two."""
        return len(self._pair if pair else self._single)

    def encode(
        self,
        texts: Sequence[str],
        texts_b: Sequence[str] | None = None,
        *,
        max_length: int,
        truncation: Truncation = Truncation.HEAD,
        spans: bool = False,
        first_owner: int = 0,
    ) -> list[Encoded]:
        """One sequence a text, or a pair of texts; owners count up from `first_owner`.

        A pair that is too long loses pieces of its longer text first, until both are equally long
        (`longest_first` of `transformers`); `truncation` says where in a text they go. Of an empty text, only
        the special tokens are left.

        `spans` count Python's characters (code points) in the text as it was given, that of `texts` or of
        `texts_b`. They hold no blank at either end: the piece " fox" of RoBERTa has the span of "fox", and a
        piece of blanks alone an empty one. Each piece of one character (an emoji of several bytes) has that
        character's span. Accents and variation selectors that the tokenizer strips are in the span of what they
        follow.

        Raises:
            SettingsError: `max_length` leaves less than one piece a text.
            InputError: a text that is no valid Unicode (lone surrogates); the message says which.
        """
        frame, room = self._frame_and_room(max_length, pair=texts_b is not None)
        encoded = []
        for owner, (first, last) in enumerate(self._pairs(texts, texts_b, spans=spans), first_owner):
            room_first, room_last = _longest_first(len(first), len(last), room)
            cut = len(first) + len(last) - room_first - room_last
            first, last = first.kept(room_first, truncation), last.kept(room_last, truncation)
            encoded.append(frame.around(first, last, owner=owner, cut=cut, spans=spans))
        return encoded

    def windows(
        self,
        texts: Sequence[str],
        texts_b: Sequence[str] | None = None,
        *,
        max_length: int,
        overlap: int,
        spans: bool = False,
        first_owner: int = 0,
    ) -> list[list[Encoded]]:
        """For each text, or pair of texts, the sequences that together hold all of its last text.

        Each window is `max_length` long and shares exactly `overlap` pieces of the last text with the one
        before; the last window ends where the text ends, so it may be shorter. The first text of a pair is
        repeated in every window; where both do not fit, it is cut at its end to half the room, or to what a
        short last text leaves free. `cut` counts those pieces, the same in each window. What fits is one
        window, equal to that of `encode`.

        Raises:
            SettingsError: `max_length` leaves less than one piece a text, or `overlap` is negative or as much
                as the room that a window surely has for the last text.
            InputError: a text that is no valid Unicode; the message says which.
        """
        pair = texts_b is not None
        frame, room = self._frame_and_room(max_length, pair=pair)
        sure = room - room // 2 if pair else room
        if not 0 <= overlap < sure:
            half = ", of which the second text surely has half" if pair else ""
            raise SettingsError(
                f"overlap must be at least 0 and less than {sure}, got {overlap}: "
                f"max_length {max_length} less {len(frame)} special tokens leaves {room}{half}"
            )
        windows = []
        for owner, (first, last) in enumerate(self._pairs(texts, texts_b, spans=spans), first_owner):
            repeated = first.kept(max(room // 2, room - len(last)), Truncation.HEAD)
            cut = len(first) - len(repeated)
            length = room - len(repeated)
            starts = [0] if len(last) <= length else range(0, len(last) - overlap, length - overlap)
            windows.append(
                [
                    frame.around(
                        repeated,
                        last.part(start, start + length),
                        owner=owner,
                        cut=cut,
                        spans=spans,
                        offset=start,
                        windows=len(starts),
                    )
                    for start in starts
                ]
            )
        return windows

    def pieces(self, texts: Sequence[str]) -> Iterator[list[int]]:
        """The ids of each text's pieces, with no special tokens around them and nothing cut.

        Raises: InputError for a text that is no valid Unicode; the message says which.
        """
        return (pieces.ids for pieces in self._pieces(texts, "text", spans=False))

    def frame(self, pieces: NDArray[np.integer[Any]], pieces_b: NDArray[np.integer[Any]] | None = None) -> Encoded:
        """The sequence of these pieces, or of two texts' pieces, with the special tokens around them."""
        frame = self._single if pieces_b is None else self._pair
        first, last = (_NOTHING, pieces) if pieces_b is None else (_Pieces(pieces.tolist(), None), pieces_b)
        return frame.around(first, _Pieces(last.tolist(), None), owner=0, cut=0, spans=False)

    @property
    def separator_id(self) -> int:
        """The last token around a text, which ends it: ``[SEP]``, ``</s>``."""
        return [*self._single.before, *self._single.after][-1]

    def written(self, piece_id: int) -> str:
        """A piece as it is read in a text, without the blank that may belong to it; ``##ing`` where it continues a
        word."""
        text: str = self._raw.decode([piece_id], skip_special_tokens=False)
        return text.strip()

    def mask(self) -> str:
        """How a masked word is written in a text. Raises CheckpointError if the vocabulary has no such token."""
        if self.mask_id is None:
            raise CheckpointError("the tokenizer has no mask token, which masked words need")
        return str(self._raw.id_to_token(self.mask_id))

    @functools.cached_property
    def continues(self) -> NDArray[np.bool_]:
        """bool [vocab_size]: whether a piece goes on with the word of the piece before it."""
        vocab = self._raw.get_vocab()
        continues_V = np.zeros(self.vocab_size, dtype=bool)
        prefix = getattr(self._raw.model, "continuing_subword_prefix", None)
        if isinstance(self._raw.model, models.WordPiece) and prefix:
            continues_V[[index for piece, index in vocab.items() if piece.startswith(prefix)]] = True
            return continues_V
        # byte-level BPE and SentencePiece mark the pieces that begin a word, by the blank before it
        blank = next((mark for mark in ("▁", "Ġ") if any(piece.startswith(mark) for piece in vocab)), None)
        if blank is not None:
            inside = [index for piece, index in vocab.items() if not piece.startswith(blank)]
            continues_V[inside] = True
            continues_V[sorted(self.special_ids)] = False
        return continues_V

    @functools.cached_property
    def fingerprint(self) -> str:
        """The same for tokenizers that split every text alike: the sha256, in hex, of the tokenizer.json that `save`
        writes, but for its layout."""
        return hashlib.sha256(self._raw.to_str().encode()).hexdigest()

    def save(self, folder: Path) -> None:
        """Writes tokenizer.json, tokenizer_config.json, special_tokens_map.json, vocab.txt if there was one.

        The folder opens in `transformers.AutoTokenizer`, and here, with the same ids.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._raw.save(str(folder / "tokenizer.json"))
        _write_json(folder / "tokenizer_config.json", self._config)
        _write_json(folder / "special_tokens_map.json", self._special_tokens_map)
        if self._writes_vocab_txt:
            vocab = self._raw.get_vocab(with_added_tokens=False)
            lines = sorted(vocab, key=vocab.__getitem__)
            (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in lines), encoding="utf-8", newline="\n")

    def _frame_and_room(self, max_length: int, *, pair: bool) -> tuple[_Frame, int]:
        """The frame, and how many pieces `max_length` leaves within it."""
        frame = self._pair if pair else self._single
        least = len(frame) + (2 if pair else 1)
        if max_length < least:
            raise SettingsError(
                f"max_length must be at least {least}, got {max_length}: "
                f"{len(frame)} special tokens and one piece of {'each of two texts' if pair else 'the text'}"
            )
        return frame, max_length - len(frame)

    def _pairs(
        self, texts: Sequence[str], texts_b: Sequence[str] | None, *, spans: bool
    ) -> Iterator[tuple[_Pieces, _Pieces]]:
        if texts_b is None:
            return zip(itertools.repeat(_NOTHING), self._pieces(texts, "text", spans=spans), strict=False)
        assert len(texts) == len(texts_b), (len(texts), len(texts_b))
        firsts = self._pieces(texts, "text", spans=spans)
        return zip(firsts, self._pieces(texts_b, "text_b", spans=spans), strict=True)

    def _pieces(self, texts: Sequence[str], name: str, *, spans: bool) -> Iterator[_Pieces]:
        assert not isinstance(texts, str), "texts must be a sequence of strings, not one string"
        # The fast one does without offsets.
        encode = self._raw.encode_batch if spans else self._raw.encode_batch_fast
        for chunk in _chunks(texts, name):
            try:
                if len(chunk) == 1 and len(chunk[0]) <= _SHORT:
                    found = [self._raw.encode(chunk[0], add_special_tokens=False)]
                else:
                    found = encode(chunk, add_special_tokens=False)
            except TypeError:  # the library says no more than that one of them is not a text
                for index, text in enumerate(texts):
                    _check_text(text, f"{name} {index}")
                raise
            all_spans = _spans(found, chunk) if spans else itertools.repeat(None, len(chunk))
            for encoding, spans_N2 in zip(found, all_spans, strict=True):
                yield _Pieces(encoding.ids, spans_N2)


def _longest_first(first: int, last: int, room: int) -> tuple[int, int]:
    """How many pieces of two texts stay: the longer one loses first, at last both keep a half each.

    The odd piece goes to the longer text, to the last of two equals; as `truncate_encodings` of `tokenizers`.
    """
    if first + last <= room:
        return first, last
    shorter = min(first, last, room // 2)
    return (shorter, room - shorter) if first <= last else (room - shorter, shorter)


def _chunks(texts: Sequence[str], name: str) -> Iterator[list[str]]:
    """The texts in runs that are small enough for the library's records of them to fit in memory."""
    chunk: list[str] = []
    room = _CHARACTERS_AT_ONCE
    for index, text in enumerate(texts):
        if type(text) is not str:  # the library would take a list for a pair of texts
            _check_text(text, f"{name} {index}")
        chunk.append(text)
        room -= len(text)
        if room <= 0 or len(chunk) == _TEXTS_AT_ONCE:
            yield chunk
            chunk, room = [], _CHARACTERS_AT_ONCE
    if chunk:
        yield chunk


def _spans(found: Sequence[tokenizers.Encoding], texts: Sequence[str]) -> list[NDArray[np.int32]]:
    """For each text the character spans of its pieces, [n, 2], without the blanks at either end.

    All texts are seen as one long one: numpy takes far longer over many small arrays.
    """
    counts = [len(encoding) for encoding in found]
    offsets = itertools.chain.from_iterable(encoding.offsets for encoding in found)
    flat = itertools.chain.from_iterable(offsets)
    spans_N2 = np.fromiter(flat, dtype=np.int64, count=2 * sum(counts)).reshape(-1, 2)
    text_starts = np.cumsum([0, *map(len, texts)])
    shift_N1 = np.repeat(text_starts[:-1], counts)[:, None]
    spans_N2 += shift_N1
    length = text_starts[-1]
    ink = ~np.fromiter(map(str.isspace, itertools.chain.from_iterable(texts)), bool, count=length)
    at = np.arange(length + 1)
    # For each boundary between characters: the next one before ink, and the last one after ink.
    before_ink, after_ink = np.full(length + 1, length), np.zeros(length + 1, dtype=np.int64)
    before_ink[:-1][ink] = at[:-1][ink]
    after_ink[1:][ink] = at[1:][ink]
    before_ink = np.minimum.accumulate(before_ink[::-1])[::-1]
    after_ink = np.maximum.accumulate(after_ink)
    spans_N2[:, 0] = np.minimum(before_ink[spans_N2[:, 0]], spans_N2[:, 1])
    spans_N2[:, 1] = np.maximum(after_ink[spans_N2[:, 1]], spans_N2[:, 0])
    if not all(map(str.isascii, texts)):
        _take_marks_along(spans_N2, texts, counts, text_starts)
    return np.split((spans_N2 - shift_N1).astype(np.int32), np.cumsum(counts)[:-1])


def _take_marks_along(
    spans_N2: NDArray[np.int64], texts: Sequence[str], counts: Sequence[int], text_starts: NDArray[np.int64]
) -> None:
    """Lengthen each span by the accents, variation selectors and joiners behind it that are in no piece's span.

    A tokenizer that strips accents leaves them out where they end a word, and the slice of the text would lack them.
    """
    attached = np.fromiter(map(_is_attached, itertools.chain.from_iterable(texts)), bool, count=int(text_starts[-1]))
    length = len(attached)
    at = np.arange(length + 1)
    past_marks = np.full(length + 1, length)
    past_marks[:-1][~attached] = at[:-1][~attached]
    past_marks = np.minimum.accumulate(past_marks[::-1])[::-1]
    text_stop_N = np.repeat(text_starts[1:], counts)
    next_N = np.append(spans_N2[1:, 0], length) if len(spans_N2) else spans_N2[:, 0]
    inked_N = spans_N2[:, 0] < spans_N2[:, 1]
    stop_N = np.minimum(np.minimum(past_marks[spans_N2[:, 1]], text_stop_N), next_N)
    spans_N2[inked_N, 1] = np.maximum(spans_N2[:, 1], stop_N)[inked_N]


@functools.cache
def _is_attached(character: str) -> bool:
    """Whether a character is a mark (an accent, a variation selector) or a zero-width joiner."""
    return character == "\u200d" or unicodedata.category(character)[0] == "M"


def _check_text(text: object, name: str) -> None:
    if not isinstance(text, str):
        raise InputError(f"{name} must be a string, got {type(text).__name__}")
    lone = re.search("[\ud800-\udfff]", text)
    if lone:
        raise InputError(
            f"{name} is no valid Unicode: it holds the lone surrogate U+{ord(lone[0]):04X} "
            f"at character {lone.start()}; was it read with another encoding than it was written in?"
        )


# From here on: opening a folder.


@dataclass(frozen=True, slots=True)
class _Folder:
    """A checkpoint's folder, with what its two small JSON files say of the tokenizer."""

    path: Path
    config: Mapping[str, Any]
    special_tokens_map: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> _Folder:
        if not path.is_dir():
            raise CheckpointError("no such folder", place=Place(str(path)))
        config, special_tokens_map = (
            _read_json(path / name) if (path / name).is_file() else {}
            for name in ("tokenizer_config.json", "special_tokens_map.json")
        )
        return cls(path, config, special_tokens_map)

    def has(self, name: str) -> bool:
        return (self.path / name).is_file()

    def error(self, file: str, message: str, line: int | None = None) -> CheckpointError:
        return CheckpointError(message, place=Place(str(self.path / file), line))

    def tokenizer_class(self) -> str | None:
        """The class of `transformers`, without the "Fast" that once told its two kinds apart."""
        name = self.config.get("tokenizer_class")
        if name is not None and not isinstance(name, str):
            raise self.error("tokenizer_config.json", f"tokenizer_class must be a name, got {name!r}")
        return name if name is None or name in _AS_THE_FILE_SAYS else name.removesuffix("Fast")

    def flag(self, key: str, default: FlagT) -> FlagT:
        value = self.config.get(key)
        if value is not None and not isinstance(value, bool):
            raise self.error("tokenizer_config.json", f"{key} must be true or false, got {value!r}")
        return default if value is None else value

    def max_length(self) -> int | None:
        value = self.config.get("model_max_length")
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 1:
            raise self.error("tokenizer_config.json", f"model_max_length must be at least 1, got {value!r}")
        return int(value) if value <= _NO_LIMIT else None

    def token(self, name: str) -> Any:
        """What the folder says of a special token: its text, {"content": its text, …}, or None."""
        # As in `transformers`: a tokenizer_config.json that lists the added tokens is the newer of the two.
        newer, older = self.special_tokens_map, self.config
        if "added_tokens_decoder" in self.config:
            newer, older = older, newer
        return newer.get(f"{name}_token", older.get(f"{name}_token"))

    def names(self, known: Callable[[str], bool], file: str, *, required: Sequence[str]) -> dict[str, str]:
        """The special tokens that there are, each checked to be known to the vocabulary, which `file` holds."""
        names = {}
        for name, usual in _USUAL_NAMES.items():
            said = self.token(name)
            if isinstance(said, dict):
                said = said.get("content")
            if said is None:
                said = next(filter(known, usual), None)
            elif not isinstance(said, str):
                raise self.error("tokenizer_config.json", f"{name}_token must be a text, got {said!r}")
            if said is None and name in required:
                raise self.error(file, f"no {name}_token: the vocabulary has none of {listed(usual)}")
            if said is not None and not known(said):
                raise self.error(file, f"the vocabulary lacks {said!r}, the {name}_token")
            if said is not None:
                names[name] = said
        return names


def _open_tokenizer_json(folder: _Folder) -> tuple[tokenizers.Tokenizer, dict[str, str]]:
    file = "tokenizer.json"
    text = _read_text(folder.path / file)
    try:
        raw = tokenizers.Tokenizer.from_str(text)
    except Exception as error:  # the library raises nothing more precise
        raise folder.error(file, f"not a tokenizer: {error}") from error
    # `transformers` lets tokenizer_config.json overrule tokenizer.json, and models were trained that way.
    if folder.tokenizer_class() not in _AS_THE_FILE_SAYS:
        rules, splitter, ending = raw.normalizer, raw.pre_tokenizer, raw.post_processor
        if isinstance(rules, normalizers.BertNormalizer):
            rules.lowercase = folder.flag("do_lower_case", rules.lowercase)
            rules.strip_accents = folder.flag("strip_accents", rules.strip_accents)
            rules.handle_chinese_chars = folder.flag("tokenize_chinese_chars", rules.handle_chinese_chars)
        if isinstance(splitter, pre_tokenizers.ByteLevel):
            splitter.add_prefix_space = folder.flag("add_prefix_space", splitter.add_prefix_space)
            if isinstance(ending, processors.RobertaProcessing):
                ending.add_prefix_space = splitter.add_prefix_space
    names = folder.names(lambda token: raw.token_to_id(token) is not None, file, required=("pad",))
    known = {token.content for token in raw.get_added_tokens_decoder().values()}
    raw.add_special_tokens([name for name in names.values() if name not in known])
    return raw, names


def _open_vocab_txt(folder: _Folder) -> tuple[tokenizers.Tokenizer, dict[str, str]]:
    """BERT's WordPiece (Devlin et al. 2019; google-research/bert, tokenization.py)."""
    file = "vocab.txt"
    vocab: dict[str, int] = {}
    for index, line in enumerate(_read_text(folder.path / file).removesuffix("\n").split("\n")):
        piece = line.rstrip() or line  # some vocabularies have exotic blanks as pieces
        if piece in vocab:
            message = f"{piece!r} stands in line {vocab[piece] + 1} already; a piece has one id"
            raise folder.error(file, message, index + 1)
        vocab[piece] = index
    names = _names_of_bare_vocab(folder, vocab, file, classes=_VOCAB_TXT_CLASSES)
    raw = tokenizers.Tokenizer(models.WordPiece(vocab, unk_token=names["unk"]))
    raw.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=folder.flag("tokenize_chinese_chars", default=True),
        strip_accents=folder.flag("strip_accents", default=None),
        lowercase=folder.flag("do_lower_case", default=True),
    )
    raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    raw.decoder = decoders.WordPiece(prefix="##")
    cls, sep = names["cls"], names["sep"]
    raw.post_processor = processors.TemplateProcessing(
        single=f"{cls}:0 $A:0 {sep}:0",
        pair=f"{cls}:0 $A:0 {sep}:0 $B:1 {sep}:1",
        special_tokens=[(cls, vocab[cls]), (sep, vocab[sep])],
    )
    raw.add_special_tokens(list(names.values()))
    return raw, names


def _open_vocab_json(folder: _Folder) -> tuple[tokenizers.Tokenizer, dict[str, str]]:
    """RoBERTa's byte-level BPE (Liu et al. 2019, §4.4; Radford et al. 2019, §2.2)."""
    vocab = _read_json(folder.path / "vocab.json")
    ids = {index for index in vocab.values() if type(index) is int and 0 <= index < 2**31}
    if len(ids) < len(vocab):
        raise folder.error("vocab.json", "must be an object of pieces and their ids, each once: {piece: id}")
    merges = []
    for line, text in enumerate(_read_text(folder.path / "merges.txt").split("\n"), start=1):
        if not text.strip() or text.startswith("#version"):
            continue
        pair = text.rstrip("\r").split(" ")
        if len(pair) != 2 or any(piece not in vocab for piece in (*pair, "".join(pair))):
            message = f"{text!r} is not two pieces of vocab.json that make a third"
            raise folder.error("merges.txt", message, line)
        merges.append((pair[0], pair[1]))
    names = _names_of_bare_vocab(folder, vocab, "vocab.json", classes=_VOCAB_JSON_CLASSES)
    add_prefix_space = folder.flag("add_prefix_space", default=False)
    raw = tokenizers.Tokenizer(models.BPE(vocab, merges, continuing_subword_prefix="", end_of_word_suffix=""))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    raw.decoder = decoders.ByteLevel()
    cls, sep = names["cls"], names["sep"]
    raw.post_processor = processors.RobertaProcessing(
        (sep, vocab[sep]), (cls, vocab[cls]), trim_offsets=True, add_prefix_space=add_prefix_space
    )
    mask = folder.token("mask")
    takes_space = bool(mask.get("lstrip")) if isinstance(mask, dict) else True
    for name, token in names.items():
        lstrip = name == "mask" and takes_space
        raw.add_special_tokens([tokenizers.AddedToken(token, lstrip=lstrip, normalized=False, special=True)])
    return raw, names


def _names_of_bare_vocab(
    folder: _Folder, vocab: Mapping[str, int], file: str, *, classes: Sequence[str]
) -> dict[str, str]:
    """The special tokens of a folder without tokenizer.json, after a check that its rules are known here."""
    found = folder.tokenizer_class()
    if found is not None and found not in classes:
        raise folder.error(file, f"how {found} reads it is not known here, only {listed(classes)}. {_CONVERT}")
    names = folder.names(vocab.__contains__, file, required=("pad", "unk", "cls", "sep"))
    try:
        added = [
            *(folder.config.get("added_tokens_decoder") or {}).values(),
            *(folder.config.get("additional_special_tokens") or []),
            *(folder.special_tokens_map.get("additional_special_tokens") or []),
            *(_read_json(folder.path / "added_tokens.json") if folder.has("added_tokens.json") else []),
        ]
        texts = [str(token["content"] if isinstance(token, dict) else token) for token in added]
    except (AttributeError, KeyError, TypeError) as error:
        raise folder.error("tokenizer_config.json", "its added tokens are of an unknown form") from error
    if more := sorted(set(texts).difference(names.values())):
        raise folder.error(file, f"tokens were added to it, {listed(more)}. {_CONVERT}")
    return names


def _learn_frames(raw: tokenizers.Tokenizer, folder: _Folder) -> tuple[_Frame, _Frame]:
    """What the post-processor lays around one text and around two, seen on a text that stands for all."""
    try:
        raw.encode("\U000f0000")  # a character that no vocabulary has: some models fail without an unk_token
        probe = next(text for text in _texts_to_try(raw) if len(raw.encode(text, add_special_tokens=False)))
        encodings = [raw.encode(probe), raw.encode(probe, probe)]
    except Exception as error:  # the library raises nothing more precise
        raise folder.error("tokenizer.json", f"cannot encode a text: {error}") from error
    single, pair = (_frame(encoding, folder) for encoding in encodings)
    if not len(single):
        raise folder.error("tokenizer.json", "its post_processor adds no special tokens, [CLS] and [SEP] say")
    return single, pair


def _texts_to_try(raw: tokenizers.Tokenizer) -> Iterator[str]:
    yield "a"
    yield from raw.get_vocab()  # slow, and hardly ever needed


def _frame(encoding: tokenizers.Encoding, folder: _Folder) -> _Frame:
    ids, segments, texts = encoding.ids, encoding.type_ids, encoding.sequence_ids
    last = encoding.n_sequences - 1
    start_first, stop_first = texts.index(0), len(texts) - texts[::-1].index(0)
    start_last, stop_last = texts.index(last), len(texts) - texts[::-1].index(last)
    second = sum(segment == 0 for segment in segments)
    in_order = segments == [0] * second + [1] * (len(segments) - second)
    if not in_order or not (second == len(ids) or stop_first <= second <= start_last):
        message = f"its segments of {encoding.tokens}, {segments}, are not 0 for the first text, then 1"
        raise folder.error("tokenizer.json", message)
    return _Frame(
        before=ids[:start_first],
        between=ids[stop_first:start_last],  # of a single text, nothing
        after=ids[stop_last:],
        second=None if second == len(ids) else second - stop_first,
    )


_CONVERT = (
    "With the package transformers (and sentencepiece for its models), "
    "AutoTokenizer.from_pretrained(folder).save_pretrained(folder) writes tokenizer.json, which is read here"
)


def _what_is_missing(folder: _Folder) -> str:
    for file in _SENTENCEPIECE_FILES:
        if folder.has(file):
            return f"no tokenizer.json, only {file}, and SentencePiece models are not read here. {_CONVERT}"
    for there, missing in (("vocab.json", "merges.txt"), ("merges.txt", "vocab.json")):
        if folder.has(there):
            return f"there is {there} but no {missing}"
    return "no tokenizer: neither tokenizer.json, nor vocab.txt, nor vocab.json with merges.txt"


def _as_keys(names: Mapping[str, str]) -> dict[str, str]:
    return {f"{name}_token": token for name, token in names.items()}


def _config_to_save(raw: tokenizers.Tokenizer, folder: _Folder, names: Mapping[str, str]) -> dict[str, Any]:
    """tokenizer_config.json as it was, with the settings in use said outright."""
    config = {key: value for key, value in folder.config.items() if key not in _NOT_SAVED}
    if not folder.has("tokenizer.json"):
        classes = _VOCAB_TXT_CLASSES if folder.has("vocab.txt") else _VOCAB_JSON_CLASSES
        config.setdefault("tokenizer_class", classes[0])
    rules, splitter = raw.normalizer, raw.pre_tokenizer
    if isinstance(rules, normalizers.BertNormalizer):
        config["do_lower_case"] = rules.lowercase
        config["strip_accents"] = rules.strip_accents
        config["tokenize_chinese_chars"] = rules.handle_chinese_chars
    if isinstance(splitter, pre_tokenizers.ByteLevel):
        config["add_prefix_space"] = splitter.add_prefix_space
    return {**config, **_as_keys(names)}


def _read_text(path: Path) -> str:
    size = path.stat().st_size
    if size > _MOST_BYTES:
        raise CheckpointError(f"{size} bytes, more than the {_MOST_BYTES} that are read", place=Place(str(path)))
    try:
        # Newlines stay as they are: a lone carriage return is no line end in a vocabulary.
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise CheckpointError(f"not UTF-8: {error}", place=Place(str(path))) from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(_read_text(path))
    except json.JSONDecodeError as error:
        raise CheckpointError(f"broken JSON: {error.msg}", place=Place(str(path), error.lineno)) from error
    except RecursionError as error:
        raise CheckpointError("broken JSON: nested too deep", place=Place(str(path))) from error
    if not isinstance(value, dict):
        raise CheckpointError(f"must be a JSON object, got {type(value).__name__}", place=Place(str(path)))
    return value


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")

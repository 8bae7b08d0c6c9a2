"""The pieces of all documents in files, memory-mapped: a corpus takes disk, not memory.

    pieces.bin     the ids of all pieces, one document after another; uint16 where they fit, else int32
    sentences.bin  int64, the piece at which each sentence begins, and the end
    documents.bin  int64, the sentence at which each document begins, and the end
    places.bin     where each document was read: the file's number (int32) and the line (int64)
    store.json     the counts, the files and how they were read; written last, so its absence tells of a broken build

A document's pieces, one after another, are those of its sentences joined by blanks: what a model will read in a text.

All numbers are little-endian. Sentences and documents are counted from 0; ranges are half-open.
"""

from __future__ import annotations

import json
from array import array
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from bertsmith.batching import mixed_seed
from bertsmith.corpus.documents import CorpusOptions
from bertsmith.errors import BundleError, DataError
from bertsmith.files import check_space, sha256, sync, write_text
from bertsmith.records import Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from bertsmith.corpus.documents import Document, Documents
    from bertsmith.tokenizer import Tokenizer

FORMAT = 2
_MANIFEST = "store.json"
_PLACE = np.dtype([("file", "<i4"), ("line", "<i8")])
_OFFSET = np.dtype("<i8")
# so many sentences, or characters, are tokenized together
_SENTENCES_AT_ONCE, _CHARACTERS_AT_ONCE = 4096, 1 << 20
_PIECES_AT_ONCE = 1 << 20
_UNPACKED = 4  # times, what a compressed file may hold


@dataclass(frozen=True, slots=True)
class Store:
    """An opened store. Make one with `build`, open it again with `open`.

    piece_P: [pieces]. sentence_S: [sentences + 1], the piece at which each begins. document_D: [documents + 1], the
    sentence at which each begins. place_D: [documents]. manifest: what store.json holds.
    """

    piece_P: NDArray[np.integer[Any]]
    sentence_S: NDArray[np.int64]
    document_D: NDArray[np.int64]
    place_D: NDArray[np.void]
    manifest: dict[str, Any]

    @classmethod
    def build(
        cls,
        folder: Path,
        documents: Documents,
        tokenizer: Tokenizer,
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> Store:
        """Tokenizes the documents into a folder, which is made; a store that was there is replaced.

        Sentences without pieces (of control characters alone) are left out, and documents of such sentences.
        progress: called now and then with how many documents and pieces are stored.

        Raises: DataError for what the documents raise, and where they hold no piece; InputError where the disk is too
        full.
        """
        narrow = tokenizer.vocab_size <= 1 << 16
        piece_type = np.dtype("<u2" if narrow else "<i4")
        check_space(folder, _space_for(documents.files, piece_type), what="the tokenized corpus")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _MANIFEST).unlink(missing_ok=True)
        numbers = {str(path): number for number, path in enumerate(documents.files)}
        with _Writer(folder, piece_type) as writer:
            for group in _groups(documents):
                texts = [text for document in group for text in _as_in_text(document.sentences)]
                writer.add(group, tokenizer.pieces(texts), numbers)
                if progress is not None:
                    progress(writer.documents, writer.pieces)
        if not writer.documents:
            raise DataError("no document holds a word piece", place=Place(str(documents.files[0])))
        manifest = {
            "format": FORMAT,
            "documents": writer.documents,
            "sentences": writer.sentences,
            "pieces": writer.pieces,
            "sentences_left_out": writer.left_out,
            "piece_type": piece_type.str,
            "tokenizer": tokenizer.fingerprint,
            "vocab_size": tokenizer.vocab_size,
            "special_ids": sorted(tokenizer.special_ids),
            "files": [
                {"path": str(path), "bytes": path.stat().st_size, "sha256": sha256(path)} for path in documents.files
            ],
            "options": documents.options.model_dump(mode="json", include=set(CorpusOptions.model_fields)),
            "note": documents.note,
        }
        write_text(folder / _MANIFEST, json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path) -> Store:
        """Maps a store that `build` wrote. Raises BundleError if it is not whole, damaged or of another format."""
        path = folder / _MANIFEST
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
            counts = [manifest[name] for name in ("pieces", "sentences", "documents")]
            found, piece_type = manifest["format"], np.dtype(manifest["piece_type"])
        except FileNotFoundError:
            message = f"there is no {_MANIFEST}, so the tokenized corpus is not whole; build it again"
            raise BundleError(message, place=Place(str(folder))) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BundleError(f"damaged: {error}; build it again", place=Place(str(path))) from None
        if found != FORMAT:
            raise BundleError(f"format {found!r}, only {FORMAT} is known; build it again", place=Place(str(path)))
        pieces, sentences, documents = counts
        return cls(
            piece_P=_mapped(folder / "pieces.bin", piece_type, pieces),
            sentence_S=_mapped(folder / "sentences.bin", _OFFSET, sentences + 1),
            document_D=_mapped(folder / "documents.bin", _OFFSET, documents + 1),
            place_D=_mapped(folder / "places.bin", _PLACE, documents),
            manifest=manifest,
        )

    @property
    def documents(self) -> int:
        """How many documents there are."""
        return len(self.document_D) - 1

    @property
    def sentences(self) -> int:
        """How many sentences there are."""
        return len(self.sentence_S) - 1

    @property
    def pieces(self) -> int:
        """How many pieces there are."""
        return len(self.piece_P)

    def made_with(self, tokenizer: Tokenizer) -> bool:
        """Whether the pieces are those of this tokenizer."""
        return bool(self.manifest["tokenizer"] == tokenizer.fingerprint)

    def place(self, document: int) -> Place:
        """Where a document begins."""
        file, line = self.place_D[document].tolist()
        return Place(self.manifest["files"][file]["path"], line)

    def piece_range(self, documents: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The pieces of documents, as the starts and the stops of their ranges: int64 [documents], each."""
        starts: NDArray[np.int64] = self.sentence_S[self.document_D[documents]]
        stops: NDArray[np.int64] = self.sentence_S[self.document_D[documents + 1]]
        return starts, stops

    def unigram(self, documents: NDArray[np.int64]) -> NDArray[np.int64]:
        """How often each piece is in these documents, int64 [vocab_size]; 0 for special ones."""
        size = self.manifest["vocab_size"]
        count_V = np.zeros(size, dtype=np.int64)
        for piece_P in self._in_chunks(documents):
            count_V += np.bincount(piece_P, minlength=size)
        count_V[self.manifest["special_ids"]] = 0
        return count_V

    def _in_chunks(self, documents: NDArray[np.int64]) -> Iterator[NDArray[np.integer[Any]]]:
        """All their pieces, about a million at a time."""
        parts: list[NDArray[np.integer[Any]]] = []
        held = 0
        for first in range(0, len(documents), _PIECES_AT_ONCE):
            starts, stops = self.piece_range(documents[first : first + _PIECES_AT_ONCE])
            for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
                for begin in range(start, stop, _PIECES_AT_ONCE):
                    parts.append(self.piece_P[begin : min(stop, begin + _PIECES_AT_ONCE)])
                    held += len(parts[-1])
                    if held >= _PIECES_AT_ONCE:
                        yield np.concatenate(parts)
                        parts, held = [], 0
        if parts:
            yield np.concatenate(parts)


def split(count: int, *, fraction: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The documents to train on and those held out, each ascending: a pure function of the arguments.

    At least one is held out where `fraction` is more than 0, and at least one is left to train on.
    """
    held = min(max(1, round(count * fraction)), count - 1) if fraction > 0 and count > 1 else 0
    order = np.random.default_rng(mixed_seed("held-out", seed)).permutation(count)
    return np.sort(order[held:]), np.sort(order[:held])


class _Writer:
    """Appends documents to the files of a store."""

    def __init__(self, folder: Path, piece_type: np.dtype[Any]) -> None:
        self._paths = [folder / name for name in ("pieces.bin", "sentences.bin", "documents.bin", "places.bin")]
        self._files: list[IO[bytes]] = []
        self._piece_type = piece_type
        self.pieces = self.sentences = self.documents = self.left_out = 0

    def __enter__(self) -> _Writer:
        for path in self._paths:
            self._files.append(path.open("wb"))
        return self

    def __exit__(self, *_exception: object) -> None:
        _, sentences, documents, _ = self._files
        sentences.write(np.array([self.pieces], dtype=_OFFSET).tobytes())
        documents.write(np.array([self.sentences], dtype=_OFFSET).tobytes())
        for file, path in zip(self._files, self._paths, strict=True):
            file.close()
            sync(path)

    def add(self, group: Sequence[Document], pieces: Iterator[list[int]], numbers: dict[str, int]) -> None:
        """pieces: of each sentence of all documents of the group. numbers: of the files, by the names in places."""
        ids, counts = array("i"), []  # an array, as a list of as many numbers takes ten times the memory
        for each in pieces:
            ids.extend(each)
            counts.append(len(each))
        count_S = np.array(counts)
        stop_D = np.cumsum([len(document.sentences) for document in group])
        start_D = np.append(0, stop_D[:-1])
        kept_S = count_S > 0
        before_S = np.append(0, np.cumsum(kept_S))  # of the sentences that are kept, how many stand before each
        kept_D = before_S[stop_D] > before_S[start_D]
        start_S = (np.cumsum(count_S) - count_S)[kept_S]
        places = [(numbers[document.place.source], document.place.line or 0) for document in group]
        written = (
            np.array(ids, dtype=self._piece_type),
            (self.pieces + start_S).astype(_OFFSET),
            (self.sentences + before_S[start_D][kept_D]).astype(_OFFSET),
            np.array(places, dtype=_PLACE)[kept_D],
        )
        for file, values in zip(self._files, written, strict=True):
            file.write(values.tobytes())
        self.pieces += len(ids)
        self.sentences += int(kept_S.sum())
        self.documents += int(kept_D.sum())
        self.left_out += int((~kept_S).sum())


def _groups(documents: Documents) -> Iterator[list[Document]]:
    """The documents in runs that are worth tokenizing together."""
    group: list[Document] = []
    sentences = characters = 0
    for document in documents:
        group.append(document)
        sentences += len(document.sentences)
        characters += sum(map(len, document.sentences))
        if sentences >= _SENTENCES_AT_ONCE or characters >= _CHARACTERS_AT_ONCE:
            yield group
            group, sentences, characters = [], 0, 0
    if group:
        yield group


def _as_in_text(sentences: Sequence[str]) -> Iterator[str]:
    """The sentences as they stand in one text, each with the blank before it: byte-level BPE and some SentencePiece
    models have other pieces for a word without one."""
    yield sentences[0]
    for sentence in sentences[1:]:
        yield f" {sentence}"


def _space_for(files: Sequence[Path], piece_type: np.dtype[Any]) -> int:
    """About how many bytes a store of these files takes: a piece for every four of text, an offset for every hundred.

    Languages far from the vocabulary's take more, so this is no promise.
    """
    text = 0
    for path in files:
        packed = path.suffix.lower() in (".gz", ".parquet")
        text += path.stat().st_size * (_UNPACKED if packed else 1)
    return text * piece_type.itemsize // 4 + text * _OFFSET.itemsize // 100


def _mapped(path: Path, dtype: np.dtype[Any], count: int) -> NDArray[Any]:
    found = path.stat().st_size if path.is_file() else None
    if found != count * dtype.itemsize:
        size = "is missing" if found is None else f"{found} bytes"
        message = f"{size}, {count * dtype.itemsize} bytes expected; build the tokenized corpus again"
        raise BundleError(message, place=Place(str(path)))
    return np.memmap(path, dtype=dtype, mode="r", shape=(count,))
